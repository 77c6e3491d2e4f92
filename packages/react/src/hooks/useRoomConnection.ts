export interface RoomConnectionOptions {
  /** LiveKit's own, to join with the app's token instead of one from Roomwatch. */
  url?: string;
  token?: string;
  project?: string;
  /** For the audit record, where the installation asks for one. */
  reason?: string;
}

export type RoomConnectionStatus = 'idle' | 'connecting' | 'connected' | 'reconnecting' | 'disconnected' | 'failed';
export type Quality = 'excellent' | 'good' | 'poor' | 'lost' | 'unknown';

export interface WatchedTrack {
  sid: string;
  kind: 'audio' | 'video';
  /** `camera`, `microphone`, `screen_share`, `screen_share_audio` or `unknown`. */
  source: string;
  muted: boolean;
  /** True once media can be attached. */
  subscribed: boolean;
  width: number | null;
  height: number | null;
  /** Plays the track in an element; returns how to stop. */
  attach(element: HTMLMediaElement): () => void;
}

export interface WatchedParticipant {
  sid: string;
  identity: string;
  name: string;
  kind: string;
  joinedAt: number | null;
  speaking: boolean;
  /** 0 to 1, as of the last report of active speakers. */
  audioLevel: number;
  quality: Quality;
  tracks: WatchedTrack[];
}

export interface WatchedMessage {
  id: number;
  at: number;
  /** Identity of the sender; null for data from the server. */
  from: string | null;
  topic: string | null;
  /** Null when the bytes are no UTF-8. */
  text: string | null;
  bytes: Uint8Array;
}

export interface RoomConnection {
  status: RoomConnectionStatus;
  /** Unix milliseconds since when we are in the room. */
  since: number | null;
  /** Our own identity in the room, seen by nobody. */
  identity: string | null;
  participants: WatchedParticipant[];
  /** Identities, the loudest first. */
  speakers: string[];
  /** The newest last, at most 200. */
  messages: WatchedMessage[];
  /** A `RoomwatchError` when the token was refused; branch on its `code`. */
  error: Error | null;
  /** After `failed` or `disconnected`: tries again. */
  reconnect(): void;
}
