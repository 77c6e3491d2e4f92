import type { UseMutationResult } from '@tanstack/react-query';
import type { MuteTrack } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { editParticipant, useCommand } from './useCommand';

/**
 * Mutes a published track, or unmutes it if the configuration of LiveKit allows that.
 *
 * @example
 * const { mutate } = useMuteTrack();
 * mutate({ room: 'standup', identity: 'ada', trackSid: 'TR_AMkRZyKm2QpWdL', muted: true });
 */
export function useMuteTrack(): UseMutationResult<unknown, RoomwatchError, MuteTrack, unknown> {
  return useCommand(
    (client, vars: MuteTrack) => client.muteTrack(vars),
    (vars, project) =>
      editParticipant(vars, project, (one) => {
        const done = one.tracks.every(({ sid, muted }) => sid !== vars.trackSid || muted === vars.muted);
        if (done) return one;
        const tracks = one.tracks.map((track) =>
          track.sid === vars.trackSid ? { ...track, muted: vars.muted } : track,
        );
        return { ...one, tracks };
      }),
  );
}
