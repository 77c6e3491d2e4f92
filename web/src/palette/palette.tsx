import { useRooms, useRoomwatch } from '@roomwatch/react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { ChevronRight, CornerDownLeft, MoreHorizontal, Search } from 'lucide-react';
import { type KeyboardEvent, useDeferredValue, useEffect, useId, useLayoutEffect, useRef, useState } from 'react';
import { cx } from '@/ui/cx';
import { messageOf } from '@/ui/errors';
import { plural } from '@/ui/format';
import { Kbd } from '@/ui/kbd';
import type { Frame, Item } from './item';
import { readQuery } from './match';
import { usePaletteItems } from './palette-items';

/** Pause in typing before the server is asked. It needs two letters: one letter finds everything. */
const TYPING_MS = 150;
const SEARCH_CHARS_MIN = 2;

export interface PaletteProps {
  /** Returns what was typed before the field had the focus. */
  takeEarly: () => string;
  onClose: () => void;
}

/** Command palette: finds rooms, people and sids, opens pages, and runs commands, by keyboard. */
export function Palette({ takeEarly, onClose }: PaletteProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const [typed, setTyped] = useState('');
  const [frames, setFrames] = useState<Frame[]>([]);
  const [active, setActive] = useState<string | null>(null);
  const id = useId();
  const { client } = useRoomwatch();
  const { data: rooms } = useRooms();
  const frame = frames.at(-1);

  const { text } = readQuery(typed);
  const settled = useSettled(text, TYPING_MS);
  const search = useQuery({
    queryKey: ['search', settled],
    queryFn: ({ signal }) => client.search(settled, signal),
    enabled: frame === undefined && settled.length >= SEARCH_CHARS_MIN,
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  });

  // The list does not change until the next letter, although rooms start and end meanwhile.
  const query = useDeferredValue(typed);
  const found = search.data?.results;
  const items = usePaletteItems({
    query,
    frame,
    rooms: rooms ?? [],
    found: settled.length >= SEARCH_CHARS_MIN ? found : undefined,
  });
  const current = items.find((item) => item.id === active) ?? items[0];

  // Before the next key: a letter must not reach the field before the text in front of it.
  useLayoutEffect(() => {
    const element = dialog.current;
    if (!element) return;
    element.showModal();
    input.current?.focus();
    setTyped(takeEarly());
    return () => element.close();
  }, [takeEarly]);
  const currentId = current?.id;
  useLayoutEffect(() => {
    if (currentId) document.getElementById(`${id}-${currentId}`)?.scrollIntoView({ block: 'nearest' });
  }, [currentId, id]);

  const type = (value: string) => {
    setTyped(value);
    setActive(null);
  };
  const enter = (next: Frame) => {
    setFrames([...frames, next]);
    type('');
    input.current?.focus();
  };
  const back = () => {
    setFrames(frames.slice(0, -1));
    type('');
  };
  const choose = (item: Item | undefined) => {
    if (!item || item.reason) return;
    if (item.types !== undefined) return type(item.types);
    if (item.enters) return enter(item.enters);
    // Closed first: the action may open its own dialog.
    onClose();
    item.run?.();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const at = items.findIndex((item) => item.id === current?.id);
    const move = (to: number) => {
      event.preventDefault();
      setActive(items[(to + items.length) % items.length]?.id ?? null);
    };
    if (event.key === 'ArrowDown') move(at + 1);
    else if (event.key === 'ArrowUp') move(at - 1);
    else if (event.key === 'Enter') {
      // During composition, Enter belongs to the input method.
      if (event.nativeEvent.isComposing) return;
      event.preventDefault();
      choose(current);
    } else if (event.key === 'Tab' && !event.shiftKey && current?.more) {
      event.preventDefault();
      enter(current.more);
    } else if (event.key === 'Backspace' && typed === '' && frames.length > 0) {
      event.preventDefault();
      back();
    }
  };

  const groups = [...new Set(items.map((item) => item.group))];
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it too, through onCancel
    <dialog
      ref={dialog}
      data-palette
      aria-label="Search and commands"
      className="pop-in mx-auto mt-[12dvh] mb-auto w-[calc(100vw-1.5rem)] max-w-xl overflow-hidden rounded-xl bg-raised shadow-pop outline-none max-md:mt-3"
      onCancel={(event) => {
        event.preventDefault();
        if (frames.length > 0) back();
        else onClose();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) onClose();
      }}
    >
      <div className="flex items-center gap-2 border-b border-line px-4">
        <Search size={15} className="shrink-0 text-ink-3" aria-hidden />
        {frames.map((one) => (
          <span
            key={one.title}
            className="max-w-40 shrink-0 truncate rounded bg-sunken px-1.5 py-0.5 text-xs text-ink-2"
          >
            {one.title}
          </span>
        ))}
        <input
          ref={input}
          role="combobox"
          aria-expanded
          aria-autocomplete="list"
          aria-controls={`${id}-list`}
          aria-activedescendant={current ? `${id}-${current.id}` : undefined}
          aria-label={frame ? `Action for ${frame.title}` : 'Search rooms, people and SIDs, or type a command'}
          placeholder={frame ? 'Action' : 'Room, person, SID or command'}
          autoComplete="off"
          spellCheck={false}
          value={typed}
          onChange={(event) => type(event.target.value)}
          onKeyDown={onKeyDown}
          className="h-12 min-w-0 grow bg-transparent text-sm outline-none max-md:text-base"
        />
      </div>

      <div
        id={`${id}-list`}
        role="listbox"
        aria-label="Results"
        className="max-h-[min(26rem,60dvh)] overflow-y-auto p-1.5"
      >
        {groups.map((group) => (
          // biome-ignore lint/a11y/useSemanticElements: a listbox contains groups of options, and no fieldset
          <div key={group} role="group" aria-label={group}>
            <div aria-hidden className="px-2.5 pt-2 pb-1 text-xs text-ink-3">
              {group}
            </div>
            {items
              .filter((item) => item.group === group)
              .map((item) => (
                <Option
                  key={item.id}
                  id={`${id}-${item.id}`}
                  item={item}
                  selected={item.id === current?.id}
                  onPoint={() => setActive(item.id)}
                  onChoose={() => choose(item)}
                  onMore={() => item.more && enter(item.more)}
                />
              ))}
          </div>
        ))}
      </div>
      {items.length === 0 ? (
        <p className="px-4 pt-2 pb-6 text-center text-ink-2">
          {text.length < SEARCH_CHARS_MIN
            ? 'Type at least two letters.'
            : search.isFetching || settled !== text
              ? 'Searching…'
              : search.error
                ? messageOf(search.error)
                : 'No results'}
        </p>
      ) : null}
      <p className="flex flex-wrap items-center gap-x-4 gap-y-1 border-t border-line px-4 py-2 text-xs text-ink-3">
        <span className="flex items-center gap-1.5">
          <Kbd>↵</Kbd> {current?.enters || current?.types !== undefined ? 'Continue' : 'Run'}
        </span>
        {current?.more ? (
          <span className="flex items-center gap-1.5 max-md:hidden">
            <Kbd>Tab</Kbd> More actions
          </span>
        ) : null}
        {frames.length > 0 ? (
          <span className="flex items-center gap-1.5">
            <Kbd>Esc</Kbd> back
          </span>
        ) : null}
        <Count items={items.length} />
      </p>
    </dialog>
  );
}

function Option({
  id,
  item,
  selected,
  onPoint,
  onChoose,
  onMore,
}: {
  id: string;
  item: Item;
  selected: boolean;
  onPoint: () => void;
  onChoose: () => void;
  onMore: () => void;
}) {
  const Icon = item.icon;
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the field; aria-activedescendant points here
    // biome-ignore lint/a11y/useKeyWithClickEvents: the field handles the keys
    <div
      id={id}
      role="option"
      aria-selected={selected}
      aria-disabled={item.reason ? true : undefined}
      onPointerMove={() => selected || onPoint()}
      // Keeps the focus in the field.
      onPointerDown={(event) => event.preventDefault()}
      onClick={onChoose}
      className={cx(
        'flex min-h-9 cursor-pointer items-center gap-2.5 rounded-md px-2.5 py-1.5',
        selected && 'bg-active',
        item.reason ? 'text-ink-3' : item.danger && 'text-bad',
      )}
    >
      <Icon size={15} className={item.danger ? '' : 'text-ink-3'} aria-hidden />
      <span className="min-w-0 grow truncate">
        {item.title}
        {item.detail ? <span className="text-xs text-ink-3"> {item.detail}</span> : null}
      </span>
      {item.reason ? <span className="shrink-0 text-xs">{item.reason}</span> : null}
      {item.more ? (
        // For pointers. The keyboard has Tab, and an option must not contain a button.
        <span
          aria-hidden
          title="More actions"
          className="-my-1 flex h-7 w-7 shrink-0 items-center justify-center rounded text-ink-3 hover:bg-active hover:text-ink"
          onClick={(event) => {
            event.stopPropagation();
            onMore();
          }}
        >
          <MoreHorizontal size={14} />
        </span>
      ) : null}
      {item.enters || item.types !== undefined ? (
        <ChevronRight size={14} className="text-ink-3" aria-hidden />
      ) : selected && !item.reason ? (
        <CornerDownLeft size={13} className="text-ink-3" aria-hidden />
      ) : null}
    </div>
  );
}

/** Number of results. It is read out once the list has settled, not with every letter. */
function Count({ items }: { items: number }) {
  const settled = useSettled(items, 700);
  return (
    <span role="status" className="sr-only">
      {plural(settled, 'result')}
    </span>
  );
}

/** Returns the value once it has not changed for `millis`. */
function useSettled<T>(value: T, millis: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), millis);
    return () => clearTimeout(timer);
  }, [value, millis]);
  return settled;
}
