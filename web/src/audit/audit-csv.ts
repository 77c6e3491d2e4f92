import type { AuditEntry } from '@roomwatch/react';
import { csv } from '@/ui/csv';

const HEAD = ['time', 'user', 'action', 'project', 'room', 'target', 'outcome', 'code', 'reason'];

/** Returns entries as CSV with a head. */
export const auditCsv = (entries: AuditEntry[]): string =>
  csv([
    HEAD,
    ...entries.map(({ at, user, action, project, room, target, outcome, code, reason }) => [
      new Date(at).toISOString(),
      user,
      action,
      project,
      room,
      target,
      outcome,
      code,
      reason,
    ]),
  ]);
