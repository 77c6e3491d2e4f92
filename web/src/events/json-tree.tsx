import { ChevronDown, ChevronRight } from 'lucide-react';
import { memo, type ReactNode, useState } from 'react';
import { count } from '@/ui/format';

/** Limits beyond which text and lists are cut until a click: metadata can have half a megabyte. */
const TEXT_CHARS = 600;
const ITEMS = 100;

type Json = string | number | boolean | null | undefined | Json[] | { [name: string]: Json };

/** JSON as a tree. Each level opens and closes; `open` levels are open at first. */
export const JsonTree = memo(function JsonTree({ value, open = 2 }: { value: unknown; open?: number }) {
  return (
    <div className="font-mono text-xs leading-5 break-words">
      <Node value={value as Json} open={open} />
    </div>
  );
});

function Node({ name, value, open }: { name?: string; value: Json; open: number }) {
  if (typeof value === 'object' && value !== null) return <Branch name={name} value={value} open={open} />;
  return (
    <div className="pl-4">
      <Name>{name}</Name>
      <Leaf value={value} />
    </div>
  );
}

const Name = ({ children }: { children: ReactNode }) =>
  children === undefined ? null : (
    <>
      <span className="text-ink-2">{children}</span>
      <span className="text-ink-3">: </span>
    </>
  );

function Branch({ name, value, open }: { name?: string; value: Json[] | { [name: string]: Json }; open: number }) {
  const [isOpen, setOpen] = useState(open > 0);
  const [shown, setShown] = useState(ITEMS);
  const list = Array.isArray(value);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  const [left, right] = list ? '[]' : '{}';
  if (entries.length === 0) {
    return (
      <div className="pl-4">
        <Name>{name}</Name>
        <span className="text-ink-3">
          {left}
          {right}
        </span>
      </div>
    );
  }
  return (
    <div>
      <button
        type="button"
        aria-expanded={isOpen}
        className="-ml-0.5 inline-flex max-w-full items-start rounded pr-1 text-left hover:bg-hover"
        onClick={() => setOpen(!isOpen)}
      >
        <span aria-hidden className="mr-0.5 w-4 py-1 text-ink-3">
          {isOpen ? <ChevronDown size={12} /> : <ChevronRight size={12} />}
        </span>
        <span className="min-w-0">
          <Name>{name}</Name>
          <span className="text-ink-3">
            {left}
            {isOpen ? null : (
              <>
                {' '}
                {count(entries.length)}{' '}
                {list ? (entries.length === 1 ? 'item' : 'items') : entries.length === 1 ? 'field' : 'fields'} {right}
              </>
            )}
          </span>
        </span>
      </button>
      {isOpen ? (
        <div className="ml-1.5 border-l border-line pl-2">
          {entries.slice(0, shown).map(([key, item]) => (
            <Node key={key} name={list ? undefined : key} value={item} open={open - 1} />
          ))}
          {entries.length > shown ? (
            <button
              type="button"
              className="ml-4 text-accent hover:underline"
              onClick={() => setShown(shown + 10 * ITEMS)}
            >
              {count(entries.length - shown)} more
            </button>
          ) : null}
        </div>
      ) : null}
    </div>
  );
}

function Leaf({ value }: { value: string | number | boolean | null | undefined }) {
  const [whole, setWhole] = useState(false);
  if (typeof value !== 'string') return <span className="text-warn">{String(value)}</span>;
  const long = !whole && value.length > TEXT_CHARS;
  return (
    <>
      <span className="whitespace-pre-wrap text-good [overflow-wrap:anywhere]">
        "{long ? value.slice(0, TEXT_CHARS) : value}
        {long ? '…' : '"'}
      </span>
      {long ? (
        <button type="button" className="ml-1 text-accent hover:underline" onClick={() => setWhole(true)}>
          all {count(value.length)} characters
        </button>
      ) : null}
    </>
  );
}
