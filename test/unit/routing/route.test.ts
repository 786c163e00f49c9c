import { describe, expect, it } from 'vitest';
import { BadRouteError, decodeRoute, routeFromValue, sameRoute } from '../../../src/routing/route.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const decode = (value: unknown) => decodeRoute(bytes(JSON.stringify(value)));

describe('decodeRoute', () => {
  it.each([
    ['the layout of the RFC', { cluster: 'c', 'meta-addrs': ['a:1', 'b:2'] }],
    ['the deployed layout', { cluster_name: 'c', meta_addrs: 'a:1,b:2' }],
    ['the deployed fields with a list', { cluster_name: 'c', meta_addrs: ['a:1', 'b:2'] }],
    ['the RFC fields with one string', { cluster: 'c', 'meta-addrs': 'a:1,b:2' }],
    ['spaces and a comma too many', { cluster_name: 'c', meta_addrs: ' a:1 , b:2, ' }],
    ['an address twice, in another spelling', { cluster_name: 'c', meta_addrs: 'a:1,b:2,A:1' }],
    ['fields nobody knows', { cluster_name: 'c', meta_addrs: 'a:1,b:2', region: { x: [1] } }],
    ['both layouts at once', { cluster_name: 'c', meta_addrs: 'a:1,b:2', cluster: 'd', 'meta-addrs': ['z:9'] }],
  ])('reads %s', (_what, value) => {
    expect(decode(value)).toEqual({ cluster: 'c', metas: ['a:1', 'b:2'] });
  });

  it('reads one address, host names, IPv4 and IPv6', () => {
    expect(decode({ cluster: 'c', 'meta-addrs': ['127.0.0.1:34601'] }).metas).toEqual(['127.0.0.1:34601']);
    const metas = ['meta-1.example.com:34601', '10.0.0.1:1', '[2001:db8::1]:65535'];
    expect(decode({ cluster: 'c', 'meta-addrs': metas }).metas).toEqual(metas);
  });

  it.each([
    ['', 'the content is empty'],
    ['{', 'the content is not JSON'],
    ['not json', 'the content is not JSON'],
    ['null', 'the content is not an object'],
    ['[]', 'the content is not an object'],
    ['"text"', 'the content is not an object'],
    ['7', 'the content is not an object'],
    ['{}', 'no cluster name'],
    ['{"cluster_name": "", "meta_addrs": "a:1"}', 'no cluster name'],
    ['{"cluster_name": 7, "meta_addrs": "a:1"}', 'no cluster name'],
    [`{"cluster_name": "${'c'.repeat(256)}", "meta_addrs": "a:1"}`, 'no cluster name'],
    ['{"cluster_name": "c"}', 'no MetaServer addresses'],
    ['{"cluster_name": "c", "meta_addrs": {}}', 'no MetaServer addresses'],
    ['{"cluster_name": "c", "meta_addrs": null}', 'no MetaServer addresses'],
    ['{"cluster_name": "c", "meta_addrs": ""}', 'the list of MetaServer addresses is empty'],
    ['{"cluster_name": "c", "meta_addrs": []}', 'the list of MetaServer addresses is empty'],
    ['{"cluster_name": "c", "meta_addrs": ",,"}', 'the list of MetaServer addresses is empty'],
    ['{"cluster_name": "c", "meta_addrs": "a"}', 'not a host:port: "a"'],
    ['{"cluster_name": "c", "meta_addrs": "a:1,b:0"}', 'not a host:port: "b:0"'],
    ['{"cluster_name": "c", "meta_addrs": [7]}', 'not a host:port: 7'],
    ['{"cluster_name": "c", "meta_addrs": [null]}', 'not a host:port: null'],
    ['{"cluster_name": "c", "meta_addrs": [["a:1"]]}', 'not a host:port: ["a:1"]'],
  ])('refuses %s', (text, problem) => {
    expect(() => decodeRoute(bytes(text))).toThrow(BadRouteError);
    expect(() => decodeRoute(bytes(text))).toThrow(problem);
  });

  it('refuses bytes that are no UTF-8, and more addresses than a cluster has', () => {
    expect(() => decodeRoute(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(new BadRouteError('the content is not JSON'));
    const many = Array.from({ length: 200 }, (_, i) => `m${i}:1`);
    expect(() => decode({ cluster: 'c', 'meta-addrs': many })).toThrow(/^more than \d+ MetaServer addresses$/);
  });

  it('keeps what it quotes short', () => {
    const long = { cluster: 'c', meta_addrs: ['x'.repeat(10_000)] };
    expect(() => routeFromValue(long)).toThrow(/^.{1,120}$/);
  });

  it('refuses an address nested so deep that it can not be quoted', () => {
    const deep = '['.repeat(20_000) + ']'.repeat(20_000);
    const content = bytes(`{"cluster_name": "c", "meta_addrs": [${deep}]}`);
    expect(() => decodeRoute(content)).toThrow(new BadRouteError('not a host:port: a deeply nested value'));
  });
});

describe('sameRoute', () => {
  const route = { cluster: 'c', metas: ['a:1', 'b:2'] };
  it('compares cluster and addresses, in their order', () => {
    expect(sameRoute(route, { cluster: 'c', metas: ['a:1', 'b:2'] })).toBe(true);
    expect(sameRoute(route, { cluster: 'd', metas: ['a:1', 'b:2'] })).toBe(false);
    expect(sameRoute(route, { cluster: 'c', metas: ['a:1'] })).toBe(false);
    expect(sameRoute(route, { cluster: 'c', metas: ['b:2', 'a:1'] })).toBe(false);
  });
});
