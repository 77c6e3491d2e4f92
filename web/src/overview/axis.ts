import { count } from '@/ui/format';

/** Width of a character of the axis, and of the space beside its labels, in pixels. */
const CHAR_PX = 6.5;
const GAP_PX = 14;
const WIDTH_MIN = 36;

/** Returns the labels of the vertical axis. Leaves are drawn downwards, and their number is positive. */
export const axisLabels = (values: readonly number[]) => values.map((value) => count(Math.abs(value)));

/** Returns the width of the vertical axis in pixels: that of the widest label. */
export const axisWidth = (labels: readonly string[] | null) =>
  Math.max(WIDTH_MIN, Math.ceil(Math.max(0, ...(labels ?? []).map(({ length }) => length)) * CHAR_PX) + GAP_PX);
