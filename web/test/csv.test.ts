import { expect, it } from 'vitest';
import { csv } from '@/ui/csv';

it.each([
  ['plain', 'plain'],
  ['', ''],
  ['a,b', '"a,b"'],
  ['say "hi"', '"say ""hi"""'],
  ['two\nlines', '"two\nlines"'],
  ['=cmd()', "'=cmd()"],
  ['+49 151', "'+49 151"],
  ['-1', "'-1"],
  ['@ada', "'@ada"],
  ['\t=1', "'\t=1"],
  ['\r=1', '"\'\r=1"'],
  ['=a,b', '"\'=a,b"'],
  ['\u202eabc', '<U+202E>abc'],
])('%j is written so that a spreadsheet shows the same text', (text, expected) =>
  expect(csv([[text]])).toBe(`${expected}\r\n`),
);

it('writes numbers as they are, and null as nothing', () =>
  expect(
    csv([
      ['n', 'x'],
      [-5, null],
    ]),
  ).toBe('n,x\r\n-5,\r\n'));
