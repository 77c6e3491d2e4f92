import type { ConnectionEvent, EventsPage, EventsQuery, Message, ResetReason } from '../src/index';
import { matches } from '../src/index';

/** A log in memory that answers pages as the server does, with a stream over it. */
export class FakeLog {
  readonly events: Message[] = [];
  requests = 0;
  /** Maximum events that one request reads. */
  scanMax = 50_000;
  first = 1;
  fail: Error | null = null;
  /** False while the stream is opening or down: appended events are not delivered. */
  streaming = true;
  private held: Promise<void> | null = null;
  private readonly listeners = new Set<(event: ConnectionEvent) => void>();

  constructor(public epoch = '7f3a9c21') {}

  cursor = (seq: number) => `${this.epoch}-${seq}`;

  append(count: number, make: (seq: number) => Partial<Message> = () => ({})): void {
    for (let i = 0; i < count; i++) {
      const seq = this.events.length + 1;
      const message: Message = {
        type: 'participant_joined',
        data: { event: 'participant_joined' },
        timestamp: seq * 1_000,
        cursor: this.cursor(seq),
        project: 'default',
        room: 'standup',
        source: 'webhook',
        ...make(seq),
      };
      this.events.push(message);
      if (this.streaming) this.say(message);
    }
  }

  /** Starts the stream at the head: after a reset, or for the first time. */
  open(reset?: ResetReason) {
    this.streaming = true;
    this.say({ type: 'connected', cursor: this.cursor(this.events.length), resumed: false, reset });
  }

  /** Holds the next page, which is made at once, until the returned function is called. */
  hold(): () => void {
    let release = () => {};
    this.held = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  say(event: ConnectionEvent) {
    for (const listener of this.listeners) listener(event);
  }

  connection = {
    onEvent: (listener: (event: ConnectionEvent) => void) => {
      this.listeners.add(listener);
      return () => {
        this.listeners.delete(listener);
      };
    },
  };

  client = {
    events: async ({ after, before, limit = 100, ...filter }: EventsQuery = {}): Promise<EventsPage> => {
      this.requests++;
      if (this.fail) throw this.fail;
      const seq = (cursor: string) => (cursor === 'start' ? this.first - 1 : Number(cursor.split('-')[1]));
      const head = this.events.length;
      const events: Message[] = [];
      let from: number;
      let to: number;
      if (after !== undefined) {
        from = seq(after) + 1;
        to = seq(after);
        while (to < head && events.length < limit && to - from + 1 < this.scanMax) {
          to++;
          const event = this.events[to - 1];
          if (event && matches(filter, event)) events.push(event);
        }
      } else {
        to = (before === undefined ? head + 1 : seq(before)) - 1;
        from = to + 1;
        while (from > this.first && events.length < limit && to - from + 1 < this.scanMax) {
          from--;
          const event = this.events[from - 1];
          if (event && matches(filter, event)) events.unshift(event);
        }
      }
      const page: EventsPage = {
        epoch: this.epoch,
        cursor: this.cursor(head),
        first: this.cursor(this.first),
        last: this.cursor(head),
        prev: from > this.first ? this.cursor(from) : null,
        next: to < head ? this.cursor(to) : null,
        events,
      };
      const { held } = this;
      this.held = null;
      await held;
      return page;
    },
  };
}
