/** True on platforms whose command key is Cmd, and not Ctrl. */
export const isMac = /Mac|iPhone|iPad/.test(navigator.userAgent);

export const Kbd = ({ children }: { children: string }) => (
  <kbd className="inline-flex h-5 min-w-5 items-center justify-center rounded border border-line-strong bg-sunken px-1 font-mono text-[0.6875rem] text-ink-2">
    {children}
  </kbd>
);
