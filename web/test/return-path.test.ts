import { expect, test } from 'vitest';
import { returnPath } from '@/shell/return-path';

test.each([
  ['/rooms/a%2Fb?project=p&sort=people', '/rooms/a%2Fb?project=p&sort=people'],
  ['/events?at=7f3a9c21-12', '/events?at=7f3a9c21-12'],
])('a path of this site is gone back to: %s', (to, path) => {
  expect(returnPath(to)).toBe(path);
});

test.each([
  undefined,
  '',
  'rooms',
  'https://evil.example/rooms',
  '//evil.example',
  '/\\evil.example',
  '/\t/evil.example',
  '/..//evil.example',
  'javascript:alert(1)',
  '/sign-in?to=%2Fsign-in',
])('anything else leads to the overview: %s', (to) => {
  expect(returnPath(to)).toBe('/');
});
