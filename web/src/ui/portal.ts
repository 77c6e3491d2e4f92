/**
 * Where a menu, popover or tooltip is put when it opens. A modal dialog makes everything outside it inert, so inside one it
 * is the dialog; else the page's main part, so that it belongs to a landmark like everything else.
 */
export const portal = (): HTMLElement | undefined =>
  document.querySelector<HTMLElement>('dialog[open]') ?? document.getElementById('main') ?? undefined;
