import { X } from 'lucide-react';
import { type ReactNode, useId, useLayoutEffect, useRef } from 'react';
import { buttonClass } from './button';
import { cx } from './cx';

const openers = new WeakMap<Element, HTMLElement>();

/**
 * Says what gets the focus when the dialog that is open now closes. A menu whose entry opened it needs this: its own way of
 * giving the focus back comes when everything outside the dialog is inert already.
 */
export function returnFocusTo(element: HTMLElement | null) {
  const dialog = document.querySelector('dialog[open]');
  if (dialog && element) openers.set(dialog, element);
}

/**
 * A modal dialog: the browser's own, which brings the focus trap, Escape, the inert page behind it and the return of the
 * focus. Mount it to open it, unmount it to close it.
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

  // Not a passive effect: those are cleaned up later, and the focus would be taken from whatever was opened meanwhile.
  useLayoutEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    dialog.showModal();
    // `autofocus` works on pages that load, not on what appears later. Without a field the dialog itself takes the focus.
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
        // React owns whether it is open: the caller unmounts it.
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
          {/* No tooltip here: it would take the first Escape for itself. */}
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
