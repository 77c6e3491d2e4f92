import type { Session } from '@roomwatch/react';
import { csv } from '@/ui/csv';
import { endWords } from './end-words';
import { recordingWords } from './recording-mark';

const HEAD = [
  'started',
  'ended',
  'project',
  'room',
  'sid',
  'people',
  'peak',
  'publishers',
  'agents',
  'calls',
  'participant minutes',
  'agent minutes',
  'call minutes',
  'lost connections',
  'failed recordings',
  'failed calls',
  'failed agents',
  'recording',
  'end reason',
];

const time = (at: number | null) => (at === null ? null : new Date(at).toISOString());

/** Returns sessions as CSV with a head. */
export const sessionsCsv = (sessions: Session[]): string =>
  csv([
    HEAD,
    ...sessions.map((session) => [
      time(session.startedAt),
      time(session.endedAt),
      session.project,
      session.room,
      session.sid,
      session.participantCount,
      session.peak,
      session.publisherCount,
      session.agentCount,
      session.callCount,
      session.participantMinutes,
      session.agentMinutes,
      session.callMinutes,
      session.lostConnections,
      session.failedRecordings,
      session.failedCalls,
      session.failedAgents,
      recordingWords(session),
      endWords(session),
    ]),
  ]);
