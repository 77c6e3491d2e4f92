import { Link } from '@tanstack/react-router';
import { leaveReason } from '@/sessions/leave-reason';
import { Button, buttonClass } from '@/ui/button';
import { codeOf } from '@/ui/errors';
import { Empty, ErrorState } from '@/ui/states';
import type { Ended, Watching } from './use-watching';

const ENDS: Record<Ended, { title: string; why: string }> = {
  hidden: {
    title: 'Watching ended: this tab was hidden for a minute',
    why: 'A hidden participant keeps a room open, so watching ends when you look at something else.',
  },
  alone: {
    title: 'Watching ended: only watchers were left',
    why: 'A hidden participant keeps a room open. The last participant has left, so the room can end now.',
  },
};

/** Reason why the watcher is not in the room, and what to do. */
export function Outside({
  watching: { connection, ended, again },
  onBack,
  onClose,
}: {
  watching: Watching;
  /** Goes back to the consent. */
  onBack: () => void;
  onClose: () => void;
}) {
  const { status, error, disconnectReason } = connection;
  const actions = (
    <>
      <Button variant="solid" onClick={again}>
        Watch again
      </Button>
      <Button onClick={onClose}>Close</Button>
    </>
  );
  if (ended !== null) {
    return (
      <Empty title={ENDS[ended].title} action={actions}>
        {ENDS[ended].why}
      </Empty>
    );
  }
  if (status === 'disconnected') {
    if (disconnectReason === 'ROOM_DELETED' || disconnectReason === 'ROOM_CLOSED') {
      return (
        <Empty title="The room has ended" action={actions}>
          Reason: {leaveReason(disconnectReason)}.
        </Empty>
      );
    }
    const removed = disconnectReason === 'PARTICIPANT_REMOVED';
    return (
      <Empty title={removed ? 'You were removed from the room' : 'Disconnected from the room'} action={actions}>
        {removed
          ? 'Roomwatch removes its watchers when the last participant leaves, so that the room can end.'
          : disconnectReason
            ? `Reason: ${leaveReason(disconnectReason)}.`
            : 'The connection to LiveKit was lost.'}
      </Empty>
    );
  }
  const code = codeOf(error);
  if (code === null) {
    return (
      <Empty title="This browser cannot reach LiveKit" action={actions}>
        The token is valid, but the connection to LiveKit failed: {error?.message}. The browser connects to LiveKit
        directly.
      </Empty>
    );
  }
  const isGone = code === 'room_not_live' || code === 'room_empty';
  return (
    <>
      <ErrorState error={error} title="Cannot watch this room" compact />
      <div className="flex justify-center gap-2 pb-4">
        <Button onClick={isGone ? again : onBack}>{isGone ? 'Try again' : 'Back'}</Button>
        {code === 'forbidden' || isGone ? null : (
          <Link to="/settings" className={buttonClass()}>
            Open settings
          </Link>
        )}
        <Button onClick={onClose}>Close</Button>
      </div>
    </>
  );
}
