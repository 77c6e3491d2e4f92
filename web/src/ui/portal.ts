/**
 * Returns the parent of a menu, popover or tooltip: the open modal dialog, because everything outside it is inert, else
 * the main landmark.
 */
export const portal = (): HTMLElement | undefined =>
  document.querySelector<HTMLElement>('dialog[open]') ?? document.getElementById('main') ?? undefined;
