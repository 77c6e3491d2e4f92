import type { UseMutationResult } from '@tanstack/react-query';
import type { UpdateParticipant } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { Permission } from '../core/wire';
import { editParticipant, has, useCommand } from './useCommand';

/**
 * Changes name, metadata, attributes or permission of a participant. Attributes are merged; an empty value removes one.
 * The permission is replaced: an absent field is not allowed.
 *
 * @example
 * const { mutate } = useUpdateParticipant();
 * mutate({ room: 'standup', identity: 'ada', attributes: { role: 'host' } });
 */
export function useUpdateParticipant(): UseMutationResult<unknown, RoomwatchError, UpdateParticipant, unknown> {
  return useCommand(
    (client, vars: UpdateParticipant) => client.updateParticipant(vars),
    (vars, project) => {
      const { name, metadata, attributes, permission } = vars;
      const wanted = { name, metadata, attributes, permission };
      return editParticipant(vars, project, (one) => {
        if (has(one, wanted)) return one;
        const merged = Object.entries({ ...one.attributes, ...attributes }).filter(([, value]) => value !== '');
        return {
          ...one,
          name: name ?? one.name,
          metadata: metadata ?? one.metadata,
          attributes: Object.fromEntries(merged),
          permission: permission ? withoutFalse(permission) : one.permission,
        };
      });
    },
  );
}

/** Returns a permission as LiveKit reports it: without the fields that are false. */
const withoutFalse = (permission: Permission) =>
  Object.fromEntries(Object.entries(permission).filter(([, value]) => value));
