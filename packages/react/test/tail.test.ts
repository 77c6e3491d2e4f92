import { describe, expect, it } from 'vitest';
import { type Cursor, type Message, Tail, UNKNOWN } from '../src/index';
import { FakeLog } from './log';

/** A tail over a log, and requests that answer with the head of the log at the time of the request. */
function tailOf(log: FakeLog) {
  const tail = new Tail();
  log.connection.onEvent((event) => tail.hear(event));
  let requests = 0;
  const fetch = (during: (attempt: number) => void = () => {}, accept = true) =>
    tail.fetch<{ cursor: Cursor | null }, readonly Message[]>(
      async () => {
        const cursor = log.cursor(log.events.length);
        during(++requests);
        return { cursor };
      },
      (_answer, newer) => (accept ? newer : UNKNOWN),
    );
  return { tail, fetch, requests: () => requests };
}

describe('a tail', () => {
  it('merges only the events that arrived after the answer was made', async () => {
    const log = new FakeLog();
    log.append(3);
    const { fetch, tail } = tailOf(log);
    log.append(2);
    const { answer, merged } = await fetch(() => {
      // A duplicate of an event in the answer, and two new ones.
      for (const event of log.events.slice(-1)) tail.hear(event);
      log.append(2);
    });
    expect(answer.cursor).toBe(log.cursor(5));
    expect(merged).toEqual(log.events.slice(5));
  });

  it('fetches again when the stream started after the answer was made', async () => {
    const log = new FakeLog();
    log.append(3);
    log.streaming = false;
    const { fetch, requests } = tailOf(log);
    const { answer, merged } = await fetch((attempt) => {
      if (attempt > 1) return;
      log.append(2);
      log.open();
    });
    expect(requests()).toBe(2);
    expect(answer.cursor).toBe(log.cursor(5));
    expect(merged).toEqual([]);
  });

  it('knows an answer from before the start of the stream, and an answer of another log', () => {
    const log = new FakeLog();
    log.append(3);
    const { tail } = tailOf(log);
    expect(tail.hasHole(log.cursor(1))).toBe(false);
    log.open();
    expect(tail.hasHole(log.cursor(2))).toBe(true);
    expect(tail.hasHole(log.cursor(3))).toBe(false);
    expect(tail.hasHole('00c0ffee-9')).toBe(true);
  });

  it('sees no hole in a stream that resumes', () => {
    const log = new FakeLog();
    log.append(3);
    const { tail } = tailOf(log);
    log.say({ type: 'connected', cursor: log.cursor(3), resumed: true });
    expect(tail.hasHole(log.cursor(1))).toBe(false);
  });

  it('gives up after three attempts', async () => {
    const { fetch, requests } = tailOf(new FakeLog());
    expect((await fetch(undefined, false)).merged).toBe(UNKNOWN);
    expect(requests()).toBe(3);
  });

  it('keeps no events once nothing is pending', async () => {
    const log = new FakeLog();
    const { fetch } = tailOf(log);
    await fetch(() => log.append(2));
    log.append(2);
    expect((await fetch()).merged).toEqual([]);
  });
});
