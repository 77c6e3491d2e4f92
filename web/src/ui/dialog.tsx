import { X } from 'lucide-react';
import { type ReactNode, useId, useLayoutEffect, useRef } from 'react';
import { buttonClass } from './button';
import { cx } from './cx';

const openers = new WeakMap<Element, HTMLElement>();

/**
 * Sets the element that gets the focus when the open dialog closes. A menu needs this for a dialog that one of its
 * entries opens: its own return of the focus comes too late, when everything outside the dialog is inert.
 */
export function returnFocusTo(element: HTMLElement | null) {
  const dialog = document.querySelector('dialog[open]');
  if (dialog && element) openers.set(dialog, element);
}

/**
 * Modal dialog of the browser, with focus trap, Escape, an inert page behind it, and return of the focus. Mount it to
 * open it, unmount it to close it.
 */
export function Dialog({
  title,
  description,
  wide,
  onClose,
  children,
}: {
  title: string;
  description?: ReactNode;
  wide?: boolean;
  onClose: () => void;
  children: ReactNode;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();

  // Not a passive effect: it would be cleaned up later, and take the focus from a dialog that was opened meanwhile.
  useLayoutEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    dialog.showModal();
    // `autofocus` works only on load. Without a field, the dialog itself takes the focus.
    const target =
      dialog.querySelector<HTMLElement>('[data-autofocus], input:not([type="checkbox"]), textarea, select') ?? dialog;
    target.focus();
    return () => {
      dialog.close();
      openers.get(dialog)?.focus();
    };
  }, []);

  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it too, through onCancel
    <dialog
      ref={ref}
      tabIndex={-1}
      aria-labelledby={`${id}-title`}
      aria-describedby={description ? `${id}-description` : undefined}
      className={cx(
        'pop-in m-auto outline-none max-h-[calc(100dvh-2rem)] w-[calc(100vw-2rem)] rounded-xl bg-raised shadow-pop',
        wide ? 'max-w-2xl' : 'max-w-md',
      )}
      onCancel={(event) => {
        // The caller closes the dialog by unmounting it.
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === ref.current) onClose();
      }}
    >
      <div className="p-5">
        <div className="flex items-start gap-4">
          <div className="min-w-0 grow">
            <h2 id={`${id}-title`} className="text-[0.9375rem] leading-6 font-semibold break-words">
              {title}
            </h2>
            {description ? (
              <div id={`${id}-description`} className="mt-1 text-ink-2">
                {description}
              </div>
            ) : null}
          </div>
          {/* No tooltip here: it would consume the first Escape. */}
          <button
            type="button"
            aria-label="Close"
            className={buttonClass('ghost', '-mt-1 -mr-1 w-8 px-0')}
            onClick={onClose}
          >
            <X size={15} />
          </button>
        </div>
        <div className="mt-4">{children}</div>
      </div>
    </dialog>
  );
}
