import type uPlot from 'uplot';
import { THEME_CHANGED } from '@/shell/theme';

/** Returns a colour for the canvas. `var()` and `light-dark()` are resolved by reading the computed style of an element. */
export function colour(value: string): string {
  const probe = document.createElement('span');
  probe.style.color = value;
  document.body.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}

/** Style of both axes. */
export const axisStyle: uPlot.Axis = {
  stroke: () => colour('var(--ink-3)'),
  grid: { stroke: () => colour('var(--line)'), width: 1 },
  ticks: { show: false },
  font: '11px "Geist Variable", system-ui, sans-serif',
};

/** Keeps a chart in the size of its element and in the colours of the theme. Returns a function that removes it. */
export function keep(chart: uPlot, element: HTMLElement): () => void {
  const resize = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: element.clientHeight }));
  resize.observe(element);
  const redraw = () => chart.redraw(false);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', redraw);
  window.addEventListener(THEME_CHANGED, redraw);
  return () => {
    resize.disconnect();
    dark.removeEventListener('change', redraw);
    window.removeEventListener(THEME_CHANGED, redraw);
    chart.destroy();
  };
}
