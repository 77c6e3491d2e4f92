/** A hidden tab's timers may run once a minute; a leader silent for longer than this is frozen or gone. */
const LEADER_SILENCE_MS_MAX = 90_000;
const STATE_MS = 15_000;

export interface TabsOptions<M> {
  /** This tab has the lock: it opens the stream. */
  onLead: () => void;
  /** Another tab took the lock from this one: it closes its stream. */
  onFollow: () => void;
  onMessage: (message: M) => void;
  /** Called now and then in the tab that leads, so that the others know it lives. */
  onTick: () => void;
}

export interface Tabs<M> {
  post(message: M): void;
  close(): void;
}

/**
 * The tabs of one browser choose a leader by a Web Lock and hear from it by BroadcastChannel. When the leader's tab
 * closes, the browser frees the lock and gives it to the next. Null where either is missing: Web Locks need HTTPS
 * or localhost.
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
        // Aborted by ourselves, or the lock was stolen because this tab had been asleep.
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

/** A new tab asks the leader, if there is one, to say where it stands. */
const HELLO = 'hello';
