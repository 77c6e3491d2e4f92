import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { connectSocket, type EventSocket, type SocketOptions, type SocketState } from '../core/socket';
import { useOptionalRoomwatch } from '../RoomwatchProvider';

export type { EventSocket, SocketOptions, SocketState } from '../core/socket';
export { connectSocket } from '../core/socket';

export interface SocketEventsOptions extends SocketOptions {
  /** False does not connect. Default true. */
  enabled?: boolean;
}

export interface SocketEvents extends SocketState {
  isConnected: boolean;
  /** Tries again after `signed_out`. */
  retry(): void;
}

const idle: SocketState = { status: 'connecting', cursor: null, staleSince: null, error: null };
const getIdle = () => idle;
const never = () => () => {};

/**
 * Listens to the stream over Socket.IO, for proxies that allow nothing else and for apps that use it already. Address
 * and token default to the provider's. A changed filter opens a new socket that continues after the last cursor.
 *
 * @example
 * const { isConnected } = useSocketEvents({ room: 'standup', onEvent: ({ type }) => console.log(type) });
 */
export function useSocketEvents(options: SocketEventsOptions = {}): SocketEvents {
  const roomwatch = useOptionalRoomwatch();
  const latest = useRef(options);
  latest.current = options;
  const cursor = useRef<string | null>(null);
  const [socket, setSocket] = useState<EventSocket | null>(null);
  const client = roomwatch?.client;
  const url = options.url ?? client?.base;
  const { enabled = true, room, type, participant, project, transports } = options;
  const filter = JSON.stringify({ room, type, participant, project: project ?? client?.project, transports });
  const hasToken = options.token !== undefined || roomwatch?.hasToken === true;

  useEffect(() => {
    if (!enabled) return;
    let next: EventSocket | undefined;
    // React mounts twice in development: a socket that is closed at once never connects.
    const starting = setTimeout(() => {
      next = connectSocket({
        ...JSON.parse(filter),
        url,
        token: hasToken ? () => token(latest.current.token ?? (async () => (await client?.token()) ?? '')) : undefined,
        after: cursor.current ?? latest.current.after,
        onEvent: (message) => {
          cursor.current = message.cursor;
          latest.current.onEvent?.(message);
        },
        onReset: (reason) => latest.current.onReset?.(reason),
      });
      setSocket(next);
    });
    return () => {
      clearTimeout(starting);
      next?.close();
      setSocket(null);
    };
  }, [enabled, url, filter, hasToken, client]);

  const state = useSyncExternalStore(socket?.onState ?? never, socket?.getState ?? getIdle, getIdle);
  return { ...state, isConnected: state.status === 'live', retry: () => socket?.retry() };
}

async function token(source: string | (() => string | Promise<string>)): Promise<string> {
  return typeof source === 'function' ? source() : source;
}
