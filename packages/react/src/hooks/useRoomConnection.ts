import { useCallback, useEffect, useMemo, useSyncExternalStore } from 'react';
import { idleState, type RoomConnectionOptions, type RoomConnectionState, watchRoom } from '../core/watch';
import { useOptionalRoomwatch } from '../RoomwatchProvider';

export type {
  Quality,
  RoomConnectionOptions,
  RoomConnectionState,
  RoomConnectionStatus,
  WatchedMessage,
  WatchedParticipant,
  WatchedTrack,
} from '../core/watch';

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
  // Made while rendering, joined in the effect: with another name nothing of the room before is shown, not for one frame.
  const watch = useMemo(
    () => (enabled && name !== null ? watchRoom(client, name, { url, token, project, reason }) : null),
    [client, name, url, token, project, reason, enabled],
  );
  useEffect(() => watch?.open(), [watch]);

  const state = useSyncExternalStore(watch?.onState ?? never, watch?.getState ?? idle, idle);
  const reconnect = useCallback(() => watch?.reconnect(), [watch]);
  return { ...state, reconnect };
}
