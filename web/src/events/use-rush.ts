import { isConnected, useRoomwatch } from '@roomwatch/react';
import { useEffect, useState } from 'react';

/** Seconds over which events are counted. */
export const RUSH_SECONDS = 10;
/** Events in that time from which a list cannot be read any more. */
const RUSH_EVENTS = 50;

/** Events of the last ten seconds. */
export interface Rush {
  joins: number;
  leaves: number;
  others: number;
}

/** Counts events for each second, and forgets those that are older than ten. */
export class Counter {
  private readonly seconds: (Rush & { at: number })[] = [];

  add(type: string, now: number) {
    const at = Math.floor(now / 1_000);
    let last = this.seconds.at(-1);
    if (last?.at !== at) {
      last = { at, joins: 0, leaves: 0, others: 0 };
      this.seconds.push(last);
    }
    if (type === 'participant_joined') last.joins++;
    else if (type === 'participant_left') last.leaves++;
    else last.others++;
  }

  /** Returns null if a list of the events can be read. */
  rush(now: number): Rush | null {
    const first = Math.floor(now / 1_000) - RUSH_SECONDS;
    while (this.seconds[0] && this.seconds[0].at < first) this.seconds.shift();
    const rush = { joins: 0, leaves: 0, others: 0 };
    for (const { joins, leaves, others } of this.seconds) {
      rush.joins += joins;
      rush.leaves += leaves;
      rush.others += others;
    }
    return rush.joins + rush.leaves + rush.others < RUSH_EVENTS ? null : rush;
  }
}

/** Returns the events of the last ten seconds, in all rooms or one, if they are too many to be read. */
export function useRush(room: string | undefined, project: string | undefined): Rush | null {
  const { connection } = useRoomwatch();
  const [rush, setRush] = useState<Rush | null>(null);
  useEffect(() => {
    const counter = new Counter();
    const stop = connection.onEvent((event) => {
      if (isConnected(event)) return;
      if (room !== undefined && event.room !== room) return;
      if (project !== undefined && event.project !== project) return;
      counter.add(event.type, Date.now());
    });
    const timer = setInterval(() => setRush(counter.rush(Date.now())), 1_000);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [connection, room, project]);
  return rush;
}
