import { useEffect, useMemo, useRef, useSyncExternalStore } from 'react';
import { EventList, type EventListOptions, type EventListState } from '../core/event-list';
import type { EventsFilter } from '../core/filter';
import type { Message } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { useDown } from './useFollowed';

export interface EventsOptions extends EventsFilter, Omit<EventListOptions, 'client' | 'connection' | 'filter'> {}

export interface Events extends Omit<EventListState, 'events'> {
  /** Newest first. */
  events: Message[];
  isLoading: boolean;
  /** Fetches the next older page. */
  loadOlder(): Promise<void>;
  /** Fetches the next newer page of a list around an event (`at`). */
  loadNewer(): Promise<void>;
  /** Stops the list. Events that arrive are counted in `waiting`. */
  pause(): void;
  /** Shows the events that wait and follows the stream again. */
  follow(): void;
  /** Fetches the list anew, after an error for instance. */
  reload(): Promise<void>;
}

const none: Message[] = [];

/**
 * Lists the events of the log, newest first: a page, the live stream on top of it, older pages on demand. No event is
 * missing and none appears twice, also over a reconnect. After a reset a list that follows is fetched anew; a paused
 * list stays as it is and sets `uncounted`. While the stream is down, the newest page is fetched every `pollInterval`.
 * A changed filter makes a new list. The functions stay the same for as long as the list does.
 *
 * @example
 * const { events, older, loadOlder } = useEvents({ room: 'standup', type: 'participant_*' });
 * return (
 *   <>
 *     {events.map(({ cursor, type }) => <p key={cursor}>{type}</p>)}
 *     {older === 'more' && <button onClick={loadOlder}>Older events</button>}
 *   </>
 * );
 */
export function useEvents(options: EventsOptions = {}): Events {
  const { client, connection, pollInterval } = useRoomwatch();
  const down = useDown();
  const { room, type, participant, project, at, limit, max, interval } = options;
  const latest = useRef(options);
  latest.current = options;
  const filter = JSON.stringify({ room, type, participant, project });
  const list = useMemo(
    () =>
      new EventList({
        client,
        connection,
        filter: JSON.parse(filter),
        at,
        limit,
        max,
        interval,
        keep: (message) => latest.current.keep?.(message) ?? true,
        onPage: (events, place) => latest.current.onPage?.(events, place),
      }),
    [client, connection, filter, at, limit, max, interval],
  );
  useEffect(() => list.start(), [list]);
  useEffect(() => {
    if (!down) return;
    const timer = setInterval(list.poll, pollInterval);
    return () => clearInterval(timer);
  }, [list, down, pollInterval]);

  const state = useSyncExternalStore(list.subscribe, list.getState, list.getState);
  return {
    ...state,
    events: state.events ?? none,
    isLoading: state.events === null && state.error === null,
    loadOlder: list.loadOlder,
    loadNewer: list.loadNewer,
    pause: list.pause,
    follow: list.follow,
    reload: list.load,
  };
}
