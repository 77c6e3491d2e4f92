import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { Dialog } from '@/ui/dialog';
import { isMac, Kbd } from '@/ui/kbd';
import { recall, remember } from '@/ui/storage';

export interface Shortcut {
  /** One key as in `KeyboardEvent.key`, or two keys pressed one after the other: "g r". */
  keys: string;
  label: string;
  run: () => void;
}

/** Group of shortcuts that work on every page. It is the last one in the help. */
const EVERYWHERE = 'Everywhere';
/** Maximum time between the two keys of a pair. */
const PAIR_MS = 1_000;

const groups = new Map<object, { title: string; shortcuts: Shortcut[] }>();
const listeners = new Set<() => void>();
let snapshot: { title: string; shortcuts: Shortcut[] }[] = [];
let enabled = recall('shortcuts') !== 'off';

function changed() {
  snapshot = [...groups.values()];
  for (const listener of listeners) listener();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

/**
 * Registers shortcuts while the component is mounted, and lists them in the help (`?`). Keys are ignored in text
 * fields, dialogs and menus, with Ctrl, Cmd or Alt, and while single keys are switched off (WCAG 2.1.4).
 */
export function useShortcuts(title: string, shortcuts: Shortcut[]) {
  const latest = useRef(shortcuts);
  latest.current = shortcuts;
  const names = shortcuts.map((shortcut) => `${shortcut.keys} ${shortcut.label}`).join('\n');

  useEffect(() => {
    const id = {};
    groups.set(id, {
      title,
      shortcuts: names.split('\n').map((_, i) => ({
        keys: latest.current[i]?.keys ?? '',
        label: latest.current[i]?.label ?? '',
        run: () => latest.current[i]?.run(),
      })),
    });
    changed();
    return () => {
      groups.delete(id);
      changed();
    };
  }, [title, names]);
}

let first: { key: string; at: number } | null = null;

function onKeyDown(event: KeyboardEvent) {
  if (!enabled || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as HTMLElement;
  if (target.closest('input, textarea, select, [contenteditable], [role="menu"], dialog[open]')) return;
  if (document.querySelector('dialog[open]')) return;
  // Enter and space belong to a focused button or link.
  if ((event.key === 'Enter' || event.key === ' ') && target.closest('a, button, summary, [role="button"]')) return;

  const pair = first && event.timeStamp - first.at < PAIR_MS ? `${first.key} ${event.key}` : null;
  first = null;
  // The component that was mounted last wins.
  const all = [...groups.values()].reverse().flatMap((group) => group.shortcuts);
  const match = all.find((shortcut) => shortcut.keys === pair) ?? all.find((shortcut) => shortcut.keys === event.key);
  if (match) {
    event.preventDefault();
    match.run();
  } else if (all.some((shortcut) => shortcut.keys.startsWith(`${event.key} `))) {
    first = { key: event.key, at: event.timeStamp };
  }
}

/** Listens for all shortcuts, and lists them on `?`. */
export function Shortcuts() {
  const [open, setOpen] = useState(false);
  useShortcuts(EVERYWHERE, [{ keys: '?', label: 'Show this help', run: () => setOpen(true) }]);
  useEffect(() => {
    window.addEventListener('keydown', onKeyDown);
    return () => window.removeEventListener('keydown', onKeyDown);
  }, []);
  return open ? <Help onClose={() => setOpen(false)} /> : null;
}

const NAMES: Record<string, string> = { Enter: '↵', ArrowDown: '↓', ArrowUp: '↑', Escape: 'Esc' };

function Help({ onClose }: { onClose: () => void }) {
  const list = useSyncExternalStore(subscribe, () => snapshot);
  const [on, setOn] = useState(enabled);
  const titles = [...new Set(list.map((group) => group.title))].sort(
    (a, b) => Number(a === EVERYWHERE) - Number(b === EVERYWHERE),
  );
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <div className="space-y-5">
        {titles.map((title) => (
          <section key={title}>
            <h3 className="mb-1.5 text-xs font-medium text-ink-3">{title}</h3>
            <dl className="divide-y divide-line">
              {list
                .filter((group) => group.title === title)
                .flatMap((group) => group.shortcuts)
                .map(({ keys, label }) => (
                  <div key={keys} className="flex items-center justify-between gap-4 py-1.5">
                    <dt>{label}</dt>
                    <dd className="flex gap-1">
                      {keys.split(' ').map((key) => (
                        <Kbd key={key}>{NAMES[key] ?? key}</Kbd>
                      ))}
                    </dd>
                  </div>
                ))}
              {title === EVERYWHERE ? (
                <div className="flex items-center justify-between gap-4 py-1.5">
                  <dt>Search and commands</dt>
                  <dd className="flex gap-1">
                    <Kbd>{isMac ? '⌘' : 'Ctrl'}</Kbd>
                    <Kbd>K</Kbd>
                  </dd>
                </div>
              ) : null}
            </dl>
          </section>
        ))}
        <label className="flex items-center gap-2 border-t border-line pt-4 text-ink-2">
          <input
            type="checkbox"
            checked={on}
            onChange={(event) => {
              enabled = event.target.checked;
              setOn(enabled);
              remember('shortcuts', enabled ? null : 'off');
            }}
          />
          Single-key shortcuts are on
        </label>
      </div>
    </Dialog>
  );
}

/** Opens the list of shortcuts from a button or a menu. */
export const showShortcuts = () =>
  snapshot
    .flatMap((group) => group.shortcuts)
    .find((shortcut) => shortcut.keys === '?')
    ?.run();
