import { useState } from 'react';
import { recall, remember } from '@/ui/storage';

export type Theme = 'light' | 'dark' | 'system';

/** Event on the window after a change of colours, for canvas drawings. */
export const THEME_CHANGED = 'roomwatch:theme';

function current(): Theme {
  const theme = recall('theme');
  return theme === 'light' || theme === 'dark' ? theme : 'system';
}

/** Returns the chosen theme and a setter. theme.js applies it before the first paint of the next visit. */
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
