/**
 * The timers of a hidden tab can run as rarely as once a minute. A leader that is silent for longer is frozen or
 * closed.
 */
const LEADER_SILENCE_MS_MAX = 90_000;
const STATE_MS = 15_000;

export interface TabsOptions<M> {
  /** Called when this tab gets the lock: it opens the stream. */
  onLead: () => void;
  /** Called when another tab takes the lock: this one closes its stream. */
  onFollow: () => void;
  onMessage: (message: M) => void;
  /** Called every 15 s in the leading tab, so that the others know that it is alive. */
  onTick: () => void;
}

export interface Tabs<M> {
  post(message: M): void;
  close(): void;
}

/**
 * Joins the tabs of one browser. A Web Lock chooses the leader, a BroadcastChannel carries its messages. When the
 * leading tab closes, the browser gives the lock to the next. Returns null if the platform has not both: Web Locks need
 * HTTPS or localhost.
 */
export function joinTabs<M>(name: string, on: TabsOptions<M>): Tabs<M> | null {
  const locks = globalThis.navigator?.locks;
  if (!locks || typeof BroadcastChannel === 'undefined') return null;
  const channel = new BroadcastChannel(name);
  let turn = 0;
  let waiting: AbortController | undefined;
  let release: (() => void) | undefined;
  let heardAt = Date.now();

  const contend = (steal: boolean) => {
    const mine = ++turn;
    waiting?.abort();
    const abort = new AbortController();
    waiting = abort;
    locks
      .request(name, steal ? { steal } : { signal: abort.signal }, () => {
        if (mine !== turn) return;
        return new Promise<void>((resolve) => {
          release = resolve;
          on.onLead();
        });
      })
      .catch(() => {
        // Aborted here, or another tab took the lock because this one was asleep.
        if (mine !== turn) return;
        release = undefined;
        heardAt = Date.now();
        on.onFollow();
        contend(false);
      });
  };

  channel.onmessage = ({ data }) => {
    heardAt = Date.now();
    if (data !== HELLO) on.onMessage(data);
    else if (release) on.onTick();
  };
  const ticking = setInterval(() => {
    if (release) on.onTick();
    else if (Date.now() - heardAt > LEADER_SILENCE_MS_MAX * (1 + Math.random() / 2)) {
      heardAt = Date.now();
      contend(true);
    }
  }, STATE_MS);
  channel.postMessage(HELLO);
  contend(false);

  return {
    post: (message) => channel.postMessage(message),
    close() {
      turn++;
      clearInterval(ticking);
      waiting?.abort();
      release?.();
      release = undefined;
      channel.close();
    },
  };
}

/** Sent by a new tab: asks the leader for its state. */
const HELLO = 'hello';
