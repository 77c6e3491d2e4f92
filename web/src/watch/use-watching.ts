import { type RoomConnection, useRoomConnection } from '@roomwatch/react/livekit';
import { useEffect, useRef, useState } from 'react';
import { useProjectFor } from '@/room/moderate';

/** Maximum time for which a hidden tab goes on watching. Its operator sees nothing, and it keeps the room open. */
const HIDDEN_MS = 60_000;
/** Time without participants other than agents and recorders, for which LiveKit does not keep a room, after which watching ends. A participant who reconnects is away for a moment. */
const ALONE_MS = 10_000;

/** Cause for which the page itself has stopped watching: the tab was hidden, or only watchers were left. */
export type Ended = 'hidden' | 'alone';

export interface Watching {
  connection: RoomConnection;
  ended: Ended | null;
  /** Joins again, with a new audit record. */
  again: () => void;
}

/**
 * Watches a room, and leaves it when the tab has been hidden for a minute or only watchers are left: a hidden participant
 * keeps a room open.
 */
export function useWatching(
  room: { name: string; project?: string | undefined },
  reason: string,
  { lowVideo = false }: { lowVideo?: boolean } = {},
): Watching {
  const [ended, setEnded] = useState<Ended | null>(null);
  const project = useProjectFor(room.project ?? '');
  const connection = useRoomConnection(room.name, {
    project,
    reason: reason || undefined,
    lowVideo,
    enabled: ended === null,
  });
  const { status, participants, disconnectReason, reconnect } = connection;
  const inside = status === 'connecting' || status === 'connected' || status === 'reconnecting';
  const alone = status === 'connected' && participants.every(({ kind }) => kind === 'agent' || kind === 'egress');

  useEffect(() => {
    if (!inside) return;
    let since: number | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      clearTimeout(timer);
      const hiddenMs = since === null ? 0 : Date.now() - since;
      // A browser may have stopped the timers of a hidden tab.
      if (hiddenMs >= HIDDEN_MS) return setEnded('hidden');
      if (document.visibilityState === 'visible') {
        since = null;
        return;
      }
      since ??= Date.now();
      timer = setTimeout(look, HIDDEN_MS - hiddenMs);
    };
    look();
    document.addEventListener('visibilitychange', look);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, [inside]);

  // Roomwatch removes watchers that are alone too, usually first.
  const wasAlone = useRef(false);
  useEffect(() => {
    if (status === 'connected') wasAlone.current = alone;
    if (status === 'disconnected' && wasAlone.current && disconnectReason === 'PARTICIPANT_REMOVED') setEnded('alone');
    if (!alone) return;
    const timer = setTimeout(() => setEnded('alone'), ALONE_MS);
    return () => clearTimeout(timer);
  }, [alone, status, disconnectReason]);

  const again = () => {
    if (ended === null) reconnect();
    else setEnded(null);
  };
  return { connection, ended, again };
}
