import { expect, test } from 'vitest';
import { axisLabels, axisWidth } from '@/overview/axis';

test('the axis has separators, and leaves are positive', () => {
  expect(axisLabels([-10_000, -5, 0, 2_000])).toEqual(['10,000', '5', '0', '2,000']);
});

// Digits of the font are 6.3 px wide at 11 px, and uPlot leaves a gap of 5 px.
test.each([
  [null, 36],
  [['5', '0'], 36],
  [['2,000', '0'], 47],
  [['-', '10,000'], 53],
  [['100,000'], 60],
])('the axis with the labels %j is %i pixels wide', (labels, width) => {
  expect(axisWidth(labels)).toBe(width);
});
