import { useEffect } from 'react';
import { markTab } from '@/ui/tab-title';

const ICONS = { calm: 'favicon.svg', alert: 'favicon-alert.svg' };

/** Shows the number of open conditions in the title and the icon of the browser tab. */
export function useTabMark(open: number) {
  useEffect(() => {
    markTab(open);
    const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
    // The address is relative to <base>, as in index.html.
    const name = open ? ICONS.alert : ICONS.calm;
    if (link && !link.href.endsWith(`/${name}`)) link.href = `./${name}`;
  }, [open]);
}
