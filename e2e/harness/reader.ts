import { EventSource } from 'eventsource';
import { PATIENCE_MS, until } from './wait.js';

/** A message of the stream. `connected` has only the first three fields, and perhaps `reset`. */
export type Message = {
  type: string;
  cursor: string;
  resumed?: boolean;
  reset?: string;
  data: any;
  timestamp: number;
  project: string;
  room: string | null;
  source: 'webhook' | 'reconcile';
  changes?: any[];
};

/** Returns the seq of a cursor `<epoch>-<seq>`. */
export function seqOf(cursor: string): number {
  return Number(cursor.slice(cursor.indexOf('-') + 1));
}

/** One reader: a real EventSource, which reconnects with its last id, and all messages that it has received. */
export class Reader {
  readonly messages: Message[] = [];
  readonly connections: Message[] = [];
  readonly byes: any[] = [];
  private readonly source: EventSource;

  constructor(url: string, headers: Record<string, string> = {}) {
    this.source = new EventSource(url, {
      fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
    });
    this.source.onmessage = ({ data }) => {
      const message = JSON.parse(data) as Message;
      if (message.type === 'connected') this.connections.push(message);
      else this.messages.push(message);
    };
    this.source.addEventListener('bye', ({ data }) => this.byes.push(JSON.parse(data)));
  }

  /** Waits until the stream is open and has sent `connected`. */
  async opened(): Promise<void> {
    await until(`a stream at ${this.source.url}`, () => {
      if (this.source.readyState === EventSource.CLOSED) throw new Error('the EventSource was closed for good');
      return this.connections.length > 0;
    });
  }

  get closed(): boolean {
    return this.source.readyState === EventSource.CLOSED;
  }

  /** Waits for the first message, received or future, for which `fits` is true. */
  find(what: string, fits: (message: Message) => boolean, within = PATIENCE_MS): Promise<Message> {
    return until(
      `${what} on the stream (got ${this.messages.map((m) => m.type).join(', ')})`,
      () => this.messages.find(fits),
      { within },
    );
  }

  /**
   * Returns the violations of the promise of a stream without filters: every seq once, ascending, without a gap and
   * without a reset.
   */
  faults(): string[] {
    const faults = this.connections
      .slice(1)
      .flatMap((c) => (c.resumed ? [] : [`reconnected without resuming: ${JSON.stringify(c)}`]));
    for (let i = 1; i < this.messages.length; i++) {
      const [before, now] = [seqOf(this.messages[i - 1]?.cursor ?? ''), seqOf(this.messages[i]?.cursor ?? '')];
      if (now <= before) faults.push(`twin or disorder: ${now} after ${before}`);
      else if (now > before + 1) faults.push(`hole: ${now} after ${before}`);
    }
    return faults;
  }

  close(): void {
    this.source.close();
  }
}
