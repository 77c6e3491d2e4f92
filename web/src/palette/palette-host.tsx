import { Search } from 'lucide-react';
import { type ComponentType, useCallback, useEffect, useRef, useState } from 'react';
import { isMac, Kbd } from '@/ui/kbd';
import { toast } from '@/ui/toast';
import { whenIdle } from '@/ui/when-idle';
import type { PaletteProps } from './palette';

const load = () => import('./palette').then(({ Palette }) => Palette);

/** Button in the top bar, keys, and the palette, which is loaded when the first page is idle. */
export function PaletteHost() {
  const [open, setOpen] = useState(false);
  const [Palette, setPalette] = useState<ComponentType<PaletteProps>>();
  /** Text typed after Ctrl+K and before the field has the focus; null if the palette is not opening. */
  const early = useRef<string | null>(null);
  useEffect(() => whenIdle(() => load().catch(() => {})), []);

  const show = useCallback(() => {
    early.current = '';
    setOpen(true);
    load().then(
      (loaded) => setPalette(() => loaded),
      (error) => {
        early.current = null;
        setOpen(false);
        toast.bad(error);
      },
    );
  }, []);
  const close = useCallback(() => {
    early.current = null;
    setOpen(false);
  }, []);
  const takeEarly = useCallback(() => {
    const text = early.current ?? '';
    early.current = null;
    return text;
  }, []);

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
      if (key.toLowerCase() === 'k' && (metaKey || ctrlKey) && !altKey && !shiftKey) {
        // An open dialog must be answered first.
        if (document.querySelector('dialog[open]:not([data-palette])')) return;
        event.preventDefault();
        if (early.current !== null || document.querySelector('dialog[data-palette]')) close();
        else show();
        return;
      }
      // The palette is opening: these keys are for its field, and not shortcuts of the page below.
      if (early.current === null || ctrlKey || metaKey || altKey) return;
      if (key === 'Escape') close();
      else if (key === 'Backspace') early.current = early.current.slice(0, -1);
      else if (key.length === 1) early.current += key;
      else return;
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    window.addEventListener('keydown', onKeyDown, true);
    return () => window.removeEventListener('keydown', onKeyDown, true);
  }, [show, close]);
  return (
    <>
      <button
        type="button"
        onClick={show}
        aria-keyshortcuts="Control+K Meta+K"
        className="flex h-8 w-full max-w-80 items-center max-sm:w-9 max-sm:justify-center max-sm:px-0 gap-2 rounded-md border border-line bg-surface px-2.5 text-ink-3 hover:border-line-strong hover:text-ink-2"
      >
        <Search size={14} aria-hidden />
        <span className="grow truncate text-left max-sm:sr-only">Search and commands</span>
        <span className="flex gap-1 max-md:hidden" aria-hidden>
          <Kbd>{isMac ? '⌘' : 'Ctrl'}</Kbd>
          <Kbd>K</Kbd>
        </span>
      </button>
      {open && Palette ? <Palette takeEarly={takeEarly} onClose={close} /> : null}
    </>
  );
}
