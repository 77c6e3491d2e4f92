import { Search } from 'lucide-react';
import { lazy, Suspense, useEffect, useState } from 'react';
import { isMac, Kbd } from '@/ui/kbd';

const Palette = lazy(() => import('./palette').then((module) => ({ default: module.Palette })));

/** Button in the top bar, keys, and the palette, which is loaded on first use. */
export function PaletteHost() {
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== 'k' || !(event.metaKey || event.ctrlKey) || event.altKey || event.shiftKey)
        return;
      // An open dialog must be answered first.
      if (document.querySelector('dialog[open]:not([data-palette])')) return;
      event.preventDefault();
      setOpen((before) => !before);
    };
    window.addEventListener('keydown', onKeyDown);
    return () => window.removeEventListener('keydown', onKeyDown);
  }, []);
  return (
    <>
      <button
        type="button"
        onClick={() => setOpen(true)}
        aria-label="Search and commands"
        aria-keyshortcuts="Control+K Meta+K"
        className="flex h-8 w-full max-w-80 items-center max-sm:w-9 max-sm:justify-center max-sm:px-0 gap-2 rounded-md border border-line bg-surface px-2.5 text-ink-3 hover:border-line-strong hover:text-ink-2"
      >
        <Search size={14} aria-hidden />
        <span className="grow truncate text-left max-sm:hidden">Search and commands</span>
        <span className="flex gap-1 max-md:hidden" aria-hidden>
          <Kbd>{isMac ? '⌘' : 'Ctrl'}</Kbd>
          <Kbd>K</Kbd>
        </span>
      </button>
      {open ? (
        <Suspense>
          <Palette onClose={() => setOpen(false)} />
        </Suspense>
      ) : null}
    </>
  );
}
