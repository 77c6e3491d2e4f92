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
  WatchedSegment,
  WatchedTrack,
} from '../core/watch';

export interface RoomConnection extends RoomConnectionState {
  /** Tries again after `failed` or `disconnected`. */
  reconnect(): void;
}

const idle = () => idleState;
const never = () => () => {};

/**
 * Joins one room with livekit-client and returns participants, tracks, speakers, quality, data messages and transcription. With a
 * token from Roomwatch (the default) the client is hidden and can only subscribe. With `{ url, token }` of the app it
 * works without Roomwatch. Leaves on unmount and when the room changes. LiveKit keeps a room open while a hidden
 * participant is in it, so Roomwatch removes its watchers when the last other participant leaves.
 *
 * @example
 * const { status, participants } = useRoomConnection('standup');
 * return participants.map((p) => <Tile key={p.sid} participant={p} />);
 */
export function useRoomConnection(name: string | null, options: RoomConnectionOptions = {}): RoomConnection {
  const client = useOptionalRoomwatch()?.client ?? null;
  const { url, token, project, reason, lowVideo, enabled = true } = options;
  // Made while rendering, joined in the effect: after a change of the name, no frame shows the previous room.
  const watch = useMemo(
    () => (enabled && name !== null ? watchRoom(client, name, { url, token, project, reason, lowVideo }) : null),
    [client, name, url, token, project, reason, lowVideo, enabled],
  );
  useEffect(() => watch?.open(), [watch]);

  const state = useSyncExternalStore(watch?.onState ?? never, watch?.getState ?? idle, idle);
  const reconnect = useCallback(() => watch?.reconnect(), [watch]);
  return { ...state, reconnect };
}
