import { useState } from 'react';
import { recall, remember } from '@/ui/storage';

export type Theme = 'light' | 'dark' | 'system';

/** Sent to the window when the colours changed, for what draws on a canvas. */
export const THEME_CHANGED = 'roomwatch:theme';

function current(): Theme {
  const theme = recall('theme');
  return theme === 'light' || theme === 'dark' ? theme : 'system';
}

/** The theme that was chosen, and how to choose another. theme.js applies it before the next first paint. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(current);
  return [
    theme,
    (next) => {
      setTheme(next);
      remember('theme', next === 'system' ? null : next);
      if (next === 'system') delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = next;
      window.dispatchEvent(new Event(THEME_CHANGED));
    },
  ];
}
