import { type Cursor, type Message, type RoomwatchClient, seqOf } from '@roomwatch/react';

const PAGE = 1_000;
/** Maximum events of an export: the browser keeps the file in memory. Larger ones need curl. */
export const EXPORT_EVENTS_MAX = 100_000;

export interface Exported {
  lines: Blob;
  events: number;
  /** Cursor at which the next export would start, if the limit was reached. */
  next: Cursor | null;
}

/**
 * Reads the log from `after` to its present end. Returns one JSON object on each line, as in the stream, in ascending
 * order, each event once. `onProgress` gets the number of events and the finished part (0 to 1).
 */
export async function exportEvents(
  client: Pick<RoomwatchClient, 'events'>,
  filter: { room?: string; type?: string[]; project?: string },
  after: Cursor | 'start',
  {
    signal,
    onProgress,
    keep = () => true,
    max = EXPORT_EVENTS_MAX,
  }: {
    signal?: AbortSignal;
    /** Second filter, for what the server cannot tell apart. */
    keep?: (message: Message) => boolean;
    onProgress?: (events: number, part: number) => void;
    max?: number;
  } = {},
): Promise<Exported> {
  const parts: string[] = [];
  let events = 0;
  let at: Cursor = after;
  let from: number | null = null;
  let end: number | null = null;
  for (;;) {
    const page = await client.events({ ...filter, after: at, limit: Math.min(PAGE, max - events) }, signal);
    // Events that arrive during the export are left out: a busy log would never end.
    end ??= seqOf(page.cursor);
    from ??= after === 'start' ? seqOf(page.first ?? page.cursor) : seqOf(after);
    const due = page.events.filter(({ cursor }) => seqOf(cursor) <= (end ?? 0)).filter(keep);
    for (const event of due) parts.push(`${JSON.stringify(event)}\n`);
    events += due.length;
    const done = page.next === null ? end : seqOf(page.next);
    onProgress?.(events, end > from ? Math.min(1, (done - from) / (end - from)) : 1);
    if (page.next === null || done >= end) return finish(null);
    if (events >= max) return finish(page.next);
    at = page.next;
  }

  function finish(next: Cursor | null): Exported {
    return { lines: new Blob(parts, { type: 'application/x-ndjson' }), events, next };
  }
}
