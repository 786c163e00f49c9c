import { describe, expect, it } from 'vitest';
import { formatHostPort, parseHostPort } from '../../../src/wire/host-port.ts';

describe('parseHostPort', () => {
  it.each([
    ['127.0.0.1:34601', '127.0.0.1', 34601],
    ['0.0.0.0:1', '0.0.0.0', 1],
    ['255.255.255.255:65535', '255.255.255.255', 65535],
    ['meta:34601', 'meta', 34601],
    ['Meta-1.Example.COM:34601', 'meta-1.example.com', 34601],
    ['meta.example.com.:34601', 'meta.example.com.', 34601],
    ['meta_server_1:34601', 'meta_server_1', 34601],
    ['1a.2b:5', '1a.2b', 5],
    ['[::1]:34601', '::1', 34601],
    ['[2001:DB8::A]:34601', '2001:db8::a', 34601],
    ['[::ffff:10.0.0.1]:34601', '::ffff:10.0.0.1', 34601],
    ['meta:00080', 'meta', 80],
  ])('reads %s', (text, host, port) => {
    expect(parseHostPort(text)).toEqual({ host, port });
  });

  it.each([
    '',
    ':',
    ':34601',
    'meta',
    'meta:',
    'meta:0',
    'meta:65536',
    'meta:123456',
    'meta:-1',
    'meta:+1',
    'meta:1.5',
    'meta:0x10',
    'meta: 1',
    ' meta:1',
    'meta:1 ',
    'me ta:1',
    'meta:34601\n',
    '256.0.0.1:1',
    '1.2.3:1',
    '1.2.3.4.5:1',
    '1.2.3.4.:1',
    '::1:34601',
    '[]:1',
    '[meta]:1',
    '[1.2.3.4]:1',
    '[::1]34601',
    '[::1:34601',
    '-meta:1',
    'meta-:1',
    'a..b:1',
    '.a:1',
    `${'a'.repeat(254)}:1`,
    'meta/x:1',
    'user@meta:1',
    'métá:1',
  ])('refuses %j', (text) => {
    expect(parseHostPort(text)).toBeUndefined();
  });
});

describe('formatHostPort', () => {
  it.each(['127.0.0.1:34601', 'meta.example.com:1', '[2001:db8::a]:65535'])('gives back %s', (text) => {
    expect(formatHostPort(parseHostPort(text) ?? { host: '', port: 0 })).toBe(text);
  });
});
