import { Check, X } from 'lucide-react';
import { useSyncExternalStore } from 'react';
import { IconButton } from './button';
import { cx } from './cx';
import { messageOf } from './errors';

interface Toast {
  id: number;
  tone: 'good' | 'bad';
  text: string;
}

/** Time for which a message of success stays. An error stays until it is closed. */
const GOOD_NEWS_MS = 5_000;
/** Maximum messages. The oldest is dropped. */
const TOASTS_MAX = 4;

let toasts: Toast[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function set(next: Toast[]) {
  toasts = next;
  for (const listener of listeners) listener();
}

const dismiss = (id: number) => set(toasts.filter((toast) => toast.id !== id));

function push(tone: Toast['tone'], text: string) {
  const id = nextId++;
  set([...toasts, { id, tone, text }].slice(-TOASTS_MAX));
  if (tone === 'good') setTimeout(() => dismiss(id), GOOD_NEWS_MS);
}

/** Reports the result of an action: `toast.good('Room ended')`, `toast.bad(error)`. */
export const toast = {
  good: (text: string) => push('good', text),
  /** Reports an error. `title` says which action failed. */
  bad: (error: unknown, tried?: string) => push('bad', tried ? `${tried}: ${messageOf(error)}` : messageOf(error)),
};

export function Toasts() {
  const list = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="pointer-events-none fixed inset-x-3 bottom-18 z-60 flex flex-col items-center gap-2 md:right-4 md:bottom-4 md:left-auto md:items-end">
      {(['good', 'bad'] as const).map((tone) => (
        // Both regions are empty at first: screen readers ignore a live region that appears together with its text.
        <div key={tone} role={tone === 'bad' ? 'alert' : 'status'} className="flex flex-col items-end gap-2">
          {list
            .filter((toast) => toast.tone === tone)
            .map((toast) => (
              <div
                key={toast.id}
                className="pop-in pointer-events-auto flex max-w-96 items-start gap-2 rounded-lg bg-raised py-2 pr-1.5 pl-3 shadow-pop"
              >
                <span aria-hidden className={cx('mt-0.5', tone === 'good' ? 'text-good' : 'text-bad')}>
                  {tone === 'good' ? <Check size={15} /> : <X size={15} />}
                </span>
                <span className="py-px break-words">{toast.text}</span>
                <IconButton label="Dismiss" className="-my-1 !h-7 !w-7" onClick={() => dismiss(toast.id)}>
                  <X size={13} />
                </IconButton>
              </div>
            ))}
        </div>
      ))}
    </div>
  );
}
