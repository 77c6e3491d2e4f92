export interface PageListeners {
  /** The tab is visible or hidden now. */
  onVisible: () => void;
  /** The network is back. */
  onOnline: () => void;
  /** The browser puts the page into its back-forward cache, or unloads it. */
  onHide: () => void;
  /** The page is back from the back-forward cache. */
  onRestore: () => void;
}

/** Returns true if the tab is visible. A program without a page always is. */
export const isVisible = (): boolean => typeof document === 'undefined' || document.visibilityState === 'visible';

/** Listens to the life of the page. Returns a function that stops. */
export function watchPage({ onVisible, onOnline, onHide, onRestore }: PageListeners): () => void {
  if (typeof document === 'undefined') return () => {};
  // Passed as the options of each listener: `signal` removes them all.
  const abort = new AbortController();
  const on = (type: string, listener: (event: Event) => void) => window.addEventListener(type, listener, abort);
  document.addEventListener('visibilitychange', onVisible, abort);
  on('online', onOnline);
  on('pagehide', onHide);
  on('pageshow', (event) => (event as PageTransitionEvent).persisted && onRestore());
  return () => abort.abort();
}
