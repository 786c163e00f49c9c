import { describe, expect, it } from 'vitest';
import { isTableName } from '../../../src/wire/table-name.ts';

describe('isTableName', () => {
  it.each(['a', 'temp', 'user_profile.v2', 'a:b', '.hidden', 'a..b', '...a', ':', '_', '0', 'x'.repeat(255)])(
    'takes %s',
    (name) => {
      expect(isTableName(name)).toBe(true);
    },
  );

  it.each([
    '',
    '.',
    '..',
    '...',
    '.'.repeat(255),
    'x'.repeat(256),
    'a/b',
    '../a',
    '/',
    'a b',
    'a-b',
    'a\n',
    '\na',
    'a\0',
    'tabelle_ä',
    '表',
    'a%2fb',
    'a\\b',
  ])('refuses %j', (name) => {
    expect(isTableName(name)).toBe(false);
  });
});
