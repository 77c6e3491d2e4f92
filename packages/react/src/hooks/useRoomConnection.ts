import { useCallback, useEffect, useState, useSyncExternalStore } from 'react';
import { useOptionalRoomwatch } from '../RoomwatchProvider';
import { idleState, type RoomConnectionOptions, type RoomConnectionState, type Watch, watchRoom } from '../watch';

export type {
  Quality,
  RoomConnectionOptions,
  RoomConnectionState,
  RoomConnectionStatus,
  WatchedMessage,
  WatchedParticipant,
  WatchedTrack,
} from '../watch';

export interface RoomConnection extends RoomConnectionState {
  /** After `failed` or `disconnected`: tries again. */
  reconnect(): void;
}

const idle = () => idleState;
const never = () => () => {};

/**
 * Joins one room with livekit-client, to see it from inside: participants, tracks, speakers, quality, data messages.
 * With a token from Roomwatch (the default) one is hidden and can only subscribe; with `{ url, token }` of the app
 * nothing of Roomwatch is needed. Leaves on unmount and when the room changes. LiveKit keeps a room open for as long
 * as a hidden participant is in it: Roomwatch removes its watchers when the last real participant has gone.
 *
 * @example
 * const { status, participants } = useRoomConnection('standup');
 * return participants.map((p) => <Tile key={p.sid} participant={p} />);
 */
export function useRoomConnection(name: string | null, options: RoomConnectionOptions = {}): RoomConnection {
  const client = useOptionalRoomwatch()?.client ?? null;
  const { url, token, project, reason, enabled = true } = options;
  const [watch, setWatch] = useState<Watch | null>(null);

  useEffect(() => {
    if (!enabled || name === null) return;
    const next = watchRoom(client, name, { url, token, project, reason });
    setWatch(next);
    return () => {
      next.close();
      setWatch(null);
    };
  }, [client, name, url, token, project, reason, enabled]);

  const state = useSyncExternalStore(watch?.onState ?? never, watch?.getState ?? idle, idle);
  const reconnect = useCallback(() => watch?.reconnect(), [watch]);
  return { ...state, reconnect };
}
