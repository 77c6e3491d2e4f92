import type { Message } from '@roomwatch/react';
import { RoomwatchProvider } from '@roomwatch/react';
import { act, cleanup, renderHook, waitFor } from '@testing-library/react';
import type { ReactNode } from 'react';
import { afterEach, expect, it, vi } from 'vitest';
import { useFeed } from '@/lib/feed';
import { FakeLog } from './log';

/** A stream that is opened when the test says so. */
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

/** The hook over a log whose pages come by fetch, and whose stream is `Source.last`. */
function feedOf(log: FakeLog, held = false) {
  vi.stubGlobal('fetch', async (address: string) => {
    const query = new URL(address, 'http://here').searchParams;
    const limit = Number(query.get('limit') ?? 100);
    return new Response(JSON.stringify(await log.client.events({ limit, room: query.get('room') ?? undefined })));
  });
  const wrapper = ({ children }: { children: ReactNode }) => (
    <RoomwatchProvider url="http://here" EventSource={Source as unknown as typeof EventSource}>
      {children}
    </RoomwatchProvider>
  );
  return renderHook((props: { held: boolean }) => useFeed({ limit: 20, ...props }), {
    wrapper,
    initialProps: { held },
  });
}
const seqs = (list: Message[]) => list.map(({ cursor }) => Number(cursor.split('-')[1]));
const down = (from: number, to = 1) => Array.from({ length: from - to + 1 }, (_, i) => from - i);

it('has no hole where the stream began after the page was made', async () => {
  const log = new FakeLog();
  log.append(5);
  const { result } = feedOf(log);
  await waitFor(() => expect(seqs(result.current.messages)).toEqual(down(5)));
  log.append(3);
  act(() => Source.last.say({ type: 'connected', cursor: log.cursor(8), resumed: false }));
  log.append(1);
  act(() => Source.last.say(log.events.at(-1)));
  await waitFor(() => expect(seqs(result.current.messages)).toEqual(down(9)), { timeout: 3_000 });
});

it('has no hole after a reset, however much was missed', async () => {
  const log = new FakeLog();
  log.append(5);
  const { result } = feedOf(log);
  await waitFor(() => expect(result.current.messages).toHaveLength(5));
  act(() => Source.last.say({ type: 'connected', cursor: log.cursor(5), resumed: false }));
  log.append(100);
  act(() => Source.last.say({ type: 'connected', cursor: log.cursor(105), resumed: false, reset: 'expired' }));
  await waitFor(() => expect(seqs(result.current.messages)).toEqual(down(105, 86)), { timeout: 3_000 });
});

it('counts what comes while it is held, and shows it afterwards', async () => {
  const log = new FakeLog();
  log.append(2);
  const { result, rerender } = feedOf(log, true);
  await waitFor(() => expect(result.current.messages).toHaveLength(2));
  log.append(3);
  act(() => {
    Source.last.say({ type: 'connected', cursor: log.cursor(2), resumed: false });
    for (const message of log.events.slice(2)) Source.last.say(message);
  });
  await waitFor(() => expect(result.current.waiting).toBe(3), { timeout: 3_000 });
  expect(seqs(result.current.messages)).toEqual(down(2));
  rerender({ held: false });
  expect(seqs(result.current.messages)).toEqual(down(5));
});
