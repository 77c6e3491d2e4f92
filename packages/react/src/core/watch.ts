import type { RemoteParticipant, RemoteTrackPublication, Room } from 'livekit-client';
import type { RoomwatchClient } from './client';
import { hearTranscription, type WatchedSegment } from './transcript';

export type { WatchedSegment } from './transcript';

/** Maximum data messages kept. The oldest are dropped. */
const MESSAGES_MAX = 200;
/** Maximum segments of the transcription kept. The oldest are dropped. */
const SEGMENTS_MAX = 200;

export interface RoomConnectionOptions {
  /** Address of LiveKit, for joining with the app's own token instead of one from Roomwatch. */
  url?: string;
  token?: string;
  project?: string;
  /** Reason for the audit log. Some installations require one. */
  reason?: string;
  /** True asks for the lowest layer of each video, for many small pictures. Default false. */
  lowVideo?: boolean;
  /** False does not join. Default true. */
  enabled?: boolean;
}

export type RoomConnectionStatus = 'idle' | 'connecting' | 'connected' | 'reconnecting' | 'disconnected' | 'failed';
export type Quality = 'excellent' | 'good' | 'poor' | 'lost' | 'unknown';

export interface WatchedTrack {
  sid: string;
  kind: 'audio' | 'video';
  /** `camera`, `microphone`, `screen_share`, `screen_share_audio` or `unknown`. */
  source: string;
  muted: boolean;
  /** True if there is media to attach. */
  subscribed: boolean;
  /** Published size in pixels, null if LiveKit did not report it. */
  width: number | null;
  height: number | null;
  /**
   * Plays the track in an element. Returns a function that stops. It is the same function for as long as the media is
   * the same, so that an effect can depend on it: `useEffect(() => attach(ref.current), [attach])`.
   */
  attach(element: HTMLMediaElement): () => void;
}

export interface WatchedParticipant {
  sid: string;
  identity: string;
  name: string;
  /** `standard`, `agent`, `sip`, `ingress`, `egress` … */
  kind: string;
  /** Unix milliseconds. */
  joinedAt: number | null;
  speaking: boolean;
  /** 0 to 1, from LiveKit's last report of active speakers. */
  audioLevel: number;
  quality: Quality;
  tracks: WatchedTrack[];
}

export interface WatchedMessage {
  /** Counts up within this connection. */
  id: number;
  /** Unix milliseconds of arrival. */
  at: number;
  /** Identity of the sender; null for data from a server. */
  from: string | null;
  topic: string | null;
  /** Null if the bytes are not UTF-8. */
  text: string | null;
  bytes: Uint8Array;
}

export interface RoomConnectionState {
  status: RoomConnectionStatus;
  /** Unix milliseconds at which this client joined. */
  since: number | null;
  /** Identity of this client in the room. */
  identity: string | null;
  participants: WatchedParticipant[];
  /** Identities of the active speakers, the loudest first. */
  speakers: string[];
  /** The newest is the last one. At most 200. */
  messages: WatchedMessage[];
  /** Transcription of the room, if an agent sends one. The newest segment is the last one. At most 200. */
  transcript: WatchedSegment[];
  /** LiveKit's reason after `disconnected`, e.g. `ROOM_DELETED` or `PARTICIPANT_REMOVED`. */
  disconnectReason: string | null;
  /** Error after `failed`. A `RoomwatchError` if the token was refused: branch on its `code`. */
  error: Error | null;
}

export interface RoomWatch {
  getState(): RoomConnectionState;
  onState(listener: () => void): () => void;
  /** Tries again after `failed` or `disconnected`. */
  reconnect(): void;
  /** Joins the room. Returns a function that leaves. */
  open(): () => void;
}

export const idleState: RoomConnectionState = {
  status: 'idle',
  since: null,
  identity: null,
  participants: [],
  speakers: [],
  messages: [],
  transcript: [],
  disconnectReason: null,
  error: null,
};

const nothing = () => {};

/**
 * Watches one room from inside with livekit-client, which is loaded on opening (134 KiB). Nothing is published. With a
 * token from Roomwatch the client is hidden from the participants.
 */
export function watchRoom(client: RoomwatchClient | null, name: string, options: RoomConnectionOptions): RoomWatch {
  const listeners = new Set<() => void>();
  let state: RoomConnectionState = idleState;
  let room: Room | null = null;
  let run = 0;
  let redraw: ReturnType<typeof setTimeout> | undefined;
  let messageId = 0;
  /** One `attach` function for each media track. */
  const attachers = new WeakMap<object, WatchedTrack['attach']>();

  const set = (next: Partial<RoomConnectionState>) => {
    state = { ...state, ...next };
    for (const listener of listeners) listener();
  };

  const track = (publication: RemoteTrackPublication): WatchedTrack => {
    const media = publication.track;
    let attach = media ? attachers.get(media) : () => nothing;
    if (media && !attach) {
      attach = (element) => {
        media.attach(element);
        return () => void media.detach(element);
      };
      attachers.set(media, attach);
    }
    return {
      sid: publication.trackSid,
      kind: publication.kind === 'video' ? 'video' : 'audio',
      source: publication.source,
      muted: publication.isMuted,
      subscribed: media !== undefined,
      width: publication.dimensions?.width ?? null,
      height: publication.dimensions?.height ?? null,
      attach: attach ?? (() => nothing),
    };
  };

  const participant = (one: RemoteParticipant, kinds: Record<number, string>): WatchedParticipant => ({
    sid: one.sid,
    identity: one.identity,
    name: one.name ?? '',
    kind: (kinds[one.kind] ?? 'unknown').toLowerCase(),
    joinedAt: one.joinedAt?.getTime() ?? null,
    speaking: one.isSpeaking,
    audioLevel: one.audioLevel,
    quality: one.connectionQuality,
    tracks: [...one.trackPublications.values()].map(track),
  });

  const connect = async () => {
    const current = ++run;
    set({ ...idleState, status: 'connecting', messages: state.messages, transcript: state.transcript });
    let joined: Room | null = null;
    try {
      const [livekit, credentials] = await Promise.all([import('livekit-client'), admission()]);
      if (current !== run) return;
      const { RoomEvent, ParticipantKind, DisconnectReason, VideoQuality } = livekit;
      // LiveKit pauses a video that no element shows.
      joined = room = new livekit.Room({ adaptiveStream: true });

      const draw = () => {
        clearTimeout(redraw);
        redraw = undefined;
        if (current !== run || !joined) return;
        set({
          participants: [...joined.remoteParticipants.values()].map((one) => participant(one, ParticipantKind)),
          speakers: joined.activeSpeakers.map(({ identity }) => identity),
        });
      };
      const drawSoon = () => {
        redraw ??= setTimeout(draw);
      };
      for (const event of [
        RoomEvent.ParticipantConnected,
        RoomEvent.ParticipantDisconnected,
        RoomEvent.ParticipantNameChanged,
        RoomEvent.TrackPublished,
        RoomEvent.TrackUnpublished,
        RoomEvent.TrackSubscribed,
        RoomEvent.TrackUnsubscribed,
        RoomEvent.TrackMuted,
        RoomEvent.TrackUnmuted,
        RoomEvent.ActiveSpeakersChanged,
        RoomEvent.ConnectionQualityChanged,
      ]) {
        joined.on(event, drawSoon);
      }
      joined.on(RoomEvent.Reconnecting, () => current === run && set({ status: 'reconnecting' }));
      joined.on(RoomEvent.SignalReconnecting, () => current === run && set({ status: 'reconnecting' }));
      joined.on(RoomEvent.Reconnected, () => {
        if (current === run) set({ status: 'connected' });
        drawSoon();
      });
      joined.on(RoomEvent.Disconnected, (reason) => {
        if (current !== run || state.status === 'connecting') return;
        run++;
        const disconnectReason = reason === undefined ? null : (DisconnectReason[reason] ?? null);
        set({ status: 'disconnected', participants: [], speakers: [], disconnectReason });
      });
      joined.on(RoomEvent.DataReceived, (bytes, from, _kind, topic) => {
        if (current !== run) return;
        const message = {
          id: ++messageId,
          at: Date.now(),
          from: from?.identity ?? null,
          topic: topic ?? null,
          text: decode(bytes),
          bytes,
        };
        set({ messages: [...state.messages, message].slice(-MESSAGES_MAX) });
      });
      hearTranscription(joined, (segment) => {
        if (current !== run) return;
        const before = state.transcript.find(({ id }) => id === segment.id);
        if (before?.final && !segment.final) return;
        const transcript = before
          ? state.transcript.map((one) => (one === before ? { ...segment, at: before.at } : one))
          : [...state.transcript, segment].slice(-SEGMENTS_MAX);
        set({ transcript });
      });
      if (options.lowVideo) {
        joined.on(RoomEvent.TrackSubscribed, (_track, publication) => {
          if (publication.kind === 'video') publication.setVideoQuality(VideoQuality.LOW);
        });
      }
      await joined.connect(credentials.url, credentials.token);
      if (current !== run) return;
      set({ status: 'connected', since: Date.now(), identity: joined.localParticipant.identity });
      draw();
    } catch (error) {
      if (current !== run) return;
      run++;
      void joined?.disconnect();
      set({ status: 'failed', error: error instanceof Error ? error : new Error(String(error)) });
    }
  };

  const admission = async (): Promise<{ url: string; token: string }> => {
    const { url, token, project, reason } = options;
    if (url && token) return { url, token };
    if (!client) throw new Error('useRoomConnection needs a <RoomwatchProvider> above it, or { url, token }.');
    return client.watchToken({ room: name, project, reason });
  };

  return {
    getState: () => state,
    onState(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reconnect() {
      if (state.status === 'failed' || state.status === 'disconnected') void connect();
    },
    open() {
      // React mounts twice in development: a room that is closed at once never asks for a token.
      const starting = setTimeout(() => void connect());
      return () => {
        run++;
        clearTimeout(starting);
        clearTimeout(redraw);
        redraw = undefined;
        void room?.disconnect();
        room = null;
        set(idleState);
      };
    },
  };
}

function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}
