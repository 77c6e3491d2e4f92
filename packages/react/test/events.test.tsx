import { act, cleanup, renderHook, waitFor } from '@testing-library/react';
import type { ReactNode } from 'react';
import { afterEach, expect, it, vi } from 'vitest';
import { type EventsOptions, type Message, RoomwatchProvider, seqOf, useEvents } from '../src/index';
import { FakeLog } from './log';

/** A stream that the test drives. */
class Source extends EventTarget {
  static readonly CLOSED = 2;
  static last: Source;
  readonly readyState = 1;
  onmessage: ((event: { data: string }) => void) | null = null;
  constructor() {
    super();
    Source.last = this;
  }
  say = (frame: unknown) => this.onmessage?.({ data: JSON.stringify(frame) });
  close() {}
}

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

/** Renders the hook over a log: pages come by fetch, and the stream is `Source.last`. */
function eventsOf(log: FakeLog, options: EventsOptions = {}, pollInterval?: number) {
  vi.stubGlobal('fetch', async (address: string) => {
    const query = new URL(address, 'http://here').searchParams;
    const limit = Number(query.get('limit') ?? 100);
    const page = {
      limit,
      room: query.get('room') ?? undefined,
      before: query.get('before') ?? undefined,
      after: query.get('after') ?? undefined,
    };
    return new Response(JSON.stringify(await log.client.events(page)));
  });
  const wrapper = ({ children }: { children: ReactNode }) => (
    <RoomwatchProvider
      url="http://here"
      EventSource={Source as unknown as typeof EventSource}
      pollInterval={pollInterval}
    >
      {children}
    </RoomwatchProvider>
  );
  return renderHook((props: EventsOptions) => useEvents({ limit: 20, max: 20, ...props }), {
    wrapper,
    initialProps: options,
  });
}
const seqs = (list: Message[]) => list.map(({ cursor }) => seqOf(cursor));
const down = (from: number, to = 1) => Array.from({ length: from - to + 1 }, (_, i) => from - i);

it('has no hole if the stream starts after the page was made', async () => {
  const log = new FakeLog();
  log.append(5);
  const { result } = eventsOf(log);
  await waitFor(() => expect(seqs(result.current.events)).toEqual(down(5)));
  log.append(3);
  act(() => Source.last.say({ type: 'connected', cursor: log.cursor(8), resumed: false }));
  log.append(1);
  act(() => Source.last.say(log.events.at(-1)));
  await waitFor(() => expect(seqs(result.current.events)).toEqual(down(9)), { timeout: 3_000 });
});

it('has no hole after a reset, however many events were missed', async () => {
  const log = new FakeLog();
  log.append(5);
  const { result } = eventsOf(log);
  await waitFor(() => expect(result.current.events).toHaveLength(5));
  act(() => Source.last.say({ type: 'connected', cursor: log.cursor(5), resumed: false }));
  log.append(100);
  act(() => Source.last.say({ type: 'connected', cursor: log.cursor(105), resumed: false, reset: 'expired' }));
  await waitFor(() => expect(seqs(result.current.events)).toEqual(down(105, 86)), { timeout: 3_000 });
});

it('counts the events that arrive while it is paused, and shows them afterwards', async () => {
  const log = new FakeLog();
  log.append(2);
  const { result } = eventsOf(log);
  await waitFor(() => expect(result.current.events).toHaveLength(2));
  act(() => result.current.pause());
  log.append(3);
  act(() => {
    Source.last.say({ type: 'connected', cursor: log.cursor(2), resumed: false });
    for (const message of log.events.slice(2)) Source.last.say(message);
  });
  await waitFor(() => expect(result.current.waiting).toBe(3), { timeout: 3_000 });
  expect(seqs(result.current.events)).toEqual(down(2));
  act(() => result.current.follow());
  expect(seqs(result.current.events)).toEqual(down(5));
});

it('loads older pages down to the oldest event', async () => {
  const log = new FakeLog();
  log.append(50);
  const { result } = eventsOf(log);
  await waitFor(() => expect(result.current.older).toBe('more'));
  await act(() => result.current.loadOlder());
  await act(() => result.current.loadOlder());
  expect(seqs(result.current.events)).toEqual(down(50));
  expect(result.current.older).toBe('end');
});

it('makes a new list for a changed filter, and keeps the list when only the array is new', async () => {
  const log = new FakeLog();
  log.append(6, (seq) => ({ room: seq % 2 ? 'a' : 'b' }));
  const { result, rerender } = eventsOf(log, { room: ['a'] });
  await waitFor(() => expect(seqs(result.current.events)).toEqual([5, 3, 1]));
  const { requests } = log;
  rerender({ room: ['a'] });
  expect(log.requests).toBe(requests);
  rerender({ room: ['b'] });
  expect(result.current.isLoading).toBe(true);
  await waitFor(() => expect(seqs(result.current.events)).toEqual([6, 4, 2]));
});

it('fetches the newest page while the stream is down', async () => {
  const log = new FakeLog();
  log.append(2);
  const { result } = eventsOf(log, {}, 200);
  await waitFor(() => expect(result.current.events).toHaveLength(2));
  // The stream never starts: three seconds later it counts as down.
  log.append(1);
  await waitFor(() => expect(seqs(result.current.events)).toEqual([3, 2, 1]), { timeout: 8_000 });
});
