import type { Participant, Room, Track } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import {
  Bot,
  ChevronRight,
  CircleDot,
  Eye,
  EyeOff,
  MessageSquare,
  MoreHorizontal,
  Pencil,
  Phone,
  Podcast,
  Terminal,
  UserMinus,
  UserRound,
} from 'lucide-react';
import { memo, type ReactNode, useState } from 'react';
import { partFile } from '@/page-file';
import { useRefusal } from '@/shell/rights';
import { Badge } from '@/ui/badge';
import { buttonClass } from '@/ui/button';
import { Sid } from '@/ui/copy';
import { cx } from '@/ui/cx';
import { words } from '@/ui/format';
import { KIND_NAMES } from '@/ui/kind-names';
import { Menu, MenuItem, MenuLink, MenuSeparator } from '@/ui/menu';
import { Name, PersonLink } from '@/ui/person-name';
import { Unknown } from '@/ui/states';
import { Age } from '@/ui/time';
import { type Quality, QualityBars } from '@/watch/quality';
import { useModeration, useProjectFor } from './moderate';
import { nameOf, pretty, resolution, trackName } from './people';
import { TrackIcon } from './track-icon';

const EditParticipant = partFile(async () => (await import('./edit-participant')).EditParticipant);
const Commands = partFile(async () => (await import('./commands-dialog')).ParticipantCommands);
const SendData = partFile(async () => (await import('./send-data')).SendData);

const kindIcons: Record<string, ReactNode> = {
  standard: <UserRound size={14} />,
  sip: <Phone size={14} />,
  agent: <Bot size={14} />,
  ingress: <Podcast size={14} />,
  egress: <CircleDot size={14} />,
};

/** One participant as a row that opens to all details. */
export const ParticipantRow = memo(function ParticipantRow({
  room,
  participant,
  gone,
  quality,
  open,
  onToggle,
}: {
  room: Room;
  participant: Participant;
  gone: boolean;
  quality: Quality | undefined;
  open: boolean;
  onToggle: (sid: string) => void;
}) {
  const kindIcon = kindIcons[participant.kind] ?? <UserRound size={14} />;
  const name = nameOf(participant);
  const Icon = participant.watcher ? <Eye size={14} /> : participant.hidden ? <EyeOff size={14} /> : kindIcon;
  return (
    <>
      <div className="flex min-h-11 items-center gap-2 py-1 pr-2 pl-2 hover:bg-hover">
        <button
          type="button"
          aria-expanded={open}
          onClick={() => onToggle(participant.sid)}
          className="flex h-9 min-w-0 grow items-center gap-2 rounded-md px-1 text-left"
        >
          <ChevronRight size={14} aria-hidden className={cx('text-ink-3 transition-transform', open && 'rotate-90')} />
          <span aria-hidden className="text-ink-3">
            {Icon}
          </span>
          <span className="truncate font-medium">
            <Name>{name}</Name>
          </span>
          {participant.identity && participant.identity !== name ? (
            <span className="min-w-0 shrink-[999] truncate font-mono text-xs text-ink-3">
              <Name>{participant.identity}</Name>
            </span>
          ) : null}
          {participant.watcher ? (
            <Badge title="Watcher of Roomwatch: hidden from the participants, not counted">Watcher</Badge>
          ) : participant.hidden ? (
            <Badge title="Hidden from the other participants">Hidden</Badge>
          ) : null}
          {participant.kind === 'standard' ? null : (
            <Badge>{KIND_NAMES[participant.kind] ?? words(participant.kind)}</Badge>
          )}
          {gone ? <Badge tone="bad">Left</Badge> : null}
          {participant.state === 'unknown' && !gone ? (
            <Badge tone="warn" title="Known from a track only. LiveKit has not reported the join yet.">
              Join not received
            </Badge>
          ) : participant.state !== 'active' && participant.state !== 'unknown' && !gone ? (
            <Badge>{words(participant.state)}</Badge>
          ) : null}
        </button>
        <TrackMarks tracks={participant.tracks} />
        <span className="w-10 text-center max-sm:hidden">
          {quality ? (
            <QualityBars quality={quality} />
          ) : (
            <Unknown why="LiveKit reports the quality only inside the room. Watch the room to see it." />
          )}
        </span>
        <span className="num w-18 text-right text-xs text-ink-2 max-sm:hidden">
          {participant.joinedAt === null ? <Unknown why="No join received" /> : <Age since={participant.joinedAt} />}
        </span>
        {gone ? <span className="w-8" /> : <ParticipantMenu room={room} participant={participant} />}
      </div>
      {open ? <Details participant={participant} /> : null}
    </>
  );
});

function TrackMarks({ tracks }: { tracks: Track[] }) {
  return (
    <span className="flex shrink-0 items-center gap-2">
      {tracks.length === 0 ? <span className="text-xs text-ink-3 max-sm:hidden">no tracks</span> : null}
      {tracks.map((track) => {
        const size = resolution(track);
        const label = `${trackName(track)}${size ? ` ${size}` : ''}${track.muted ? ', muted' : ''}`;
        return (
          <span key={track.sid} title={label} className={cx('inline-flex', track.muted ? 'text-ink-3' : 'text-good')}>
            <span aria-hidden>
              <TrackIcon track={track} />
            </span>
            <span className="sr-only">{label}</span>
          </span>
        );
      })}
    </span>
  );
}

function ParticipantMenu({ room, participant }: { room: Room; participant: Participant }) {
  const [open, setOpen] = useState<'data' | 'edit' | 'commands' | null>(null);
  const { setMuted, removeParticipant } = useModeration();
  const project = useProjectFor(room.project);
  const refusal = useRefusal('moderate', room.name);
  const name = nameOf(participant);
  // A participant known from a track only has no identity yet, and every command needs one.
  const reason = refusal ?? (participant.identity ? null : 'The identity is not known yet');

  return (
    <>
      <Menu
        trigger={
          <button type="button" className={buttonClass('ghost', 'w-8 px-0')} aria-label={`Actions for ${name}`}>
            <MoreHorizontal size={15} />
          </button>
        }
      >
        {participant.tracks
          .filter((track) => track.type !== 'data')
          .map((track) => (
            <MenuItem
              key={track.sid}
              icon={<TrackIcon track={{ ...track, muted: !track.muted }} size={14} />}
              reason={reason}
              onSelect={() => setMuted(participant, track, !track.muted)}
            >
              {track.muted ? 'Unmute' : 'Mute'} {trackName(track)}
            </MenuItem>
          ))}
        {participant.tracks.length > 0 ? <MenuSeparator /> : null}
        <MenuItem icon={<MessageSquare size={14} />} reason={reason} onSelect={() => setOpen('data')}>
          Send data message
        </MenuItem>
        <MenuItem icon={<Pencil size={14} />} reason={reason} onSelect={() => setOpen('edit')}>
          Edit
        </MenuItem>
        {participant.identity ? (
          <MenuLink>
            <Link
              to="/participants/$identity"
              params={{ identity: participant.identity }}
              search={{ project: room.project }}
            >
              Open participant
            </Link>
          </MenuLink>
        ) : null}
        <MenuItem icon={<Terminal size={14} />} onSelect={() => setOpen('commands')}>
          Copy CLI command
        </MenuItem>
        <MenuSeparator />
        <MenuItem icon={<UserMinus size={14} />} danger reason={reason} onSelect={() => removeParticipant(participant)}>
          Remove
        </MenuItem>
      </Menu>
      {open === 'data' ? <SendData room={room} to={participant} onClose={() => setOpen(null)} /> : null}
      {open === 'edit' ? <EditParticipant room={room} participant={participant} onClose={() => setOpen(null)} /> : null}
      {open === 'commands' ? (
        <Commands room={room.name} participant={participant} project={project} onClose={() => setOpen(null)} />
      ) : null}
    </>
  );
}

/** All that LiveKit reported about a participant. The rest is left out or shown as unknown. */
function Details({ participant }: { participant: Participant }) {
  const { permission, tracks, metadata } = participant;
  const attributes = Object.entries(participant.attributes).sort(([a], [b]) => a.localeCompare(b));
  const can = (allowed: boolean | undefined, what: string) => (
    <Badge tone={allowed ? 'good' : 'plain'}>{allowed ? `Can ${what}` : `Cannot ${what}`}</Badge>
  );
  return (
    <div className="grid gap-x-8 gap-y-4 border-t border-line bg-canvas px-4 py-4 sm:grid-cols-2 sm:pl-11">
      <section>
        <h3 className="mb-1 text-xs text-ink-3">Identity</h3>
        <p>{participant.identity ? <Sid>{participant.identity}</Sid> : <Unknown />}</p>
        {participant.identity ? (
          <p>
            <PersonLink
              identity={participant.identity}
              project={participant.project}
              className="inline-flex min-h-6 items-center text-xs text-accent"
            >
              All sessions and events of this participant
            </PersonLink>
          </p>
        ) : null}
        <p>
          <Sid>{participant.sid}</Sid>
        </p>
        {participant.region ? <p className="text-xs text-ink-2">Region {participant.region}</p> : null}
      </section>
      <section>
        <h3 className="mb-1 text-xs text-ink-3">Permissions</h3>
        {permission ? (
          <div className="flex flex-wrap gap-1">
            {can(permission.canPublish, 'publish')}
            {can(permission.canSubscribe, 'subscribe')}
            {can(permission.canPublishData, 'send data')}
          </div>
        ) : (
          <Unknown />
        )}
      </section>
      <section className="sm:col-span-2">
        <h3 className="mb-1 text-xs text-ink-3">Tracks</h3>
        {tracks.length === 0 ? <p className="text-ink-2">None published</p> : null}
        <ul className="divide-y divide-line">
          {tracks.map((track) => (
            <li key={track.sid} className="flex flex-wrap items-center gap-x-3 py-1">
              <span aria-hidden className={track.muted ? 'text-ink-3' : 'text-good'}>
                <TrackIcon track={track} size={14} />
              </span>
              <span className="font-medium first-letter:uppercase">
                {trackName(track)}
                {track.name ? <span className="font-normal text-ink-3"> “{track.name}”</span> : null}
              </span>
              <span className="text-xs text-ink-2">{track.muted ? 'muted' : 'live'}</span>
              {track.width && track.height ? (
                <span className="num text-xs text-ink-2">
                  {track.width}×{track.height}
                </span>
              ) : null}
              {track.mimeType ? <span className="font-mono text-xs text-ink-2">{track.mimeType}</span> : null}
              {track.simulcast ? <span className="text-xs text-ink-2">simulcast</span> : null}
              <span className="text-xs">
                <Sid>{track.sid}</Sid>
              </span>
            </li>
          ))}
        </ul>
      </section>
      {attributes.length > 0 ? (
        <section>
          <h3 className="mb-1 text-xs text-ink-3">Attributes</h3>
          <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-0.5 font-mono text-xs">
            {attributes.map(([key, value]) => (
              <div key={key} className="contents">
                <dt className="text-ink-3">{key}</dt>
                <dd className="break-all">{value}</dd>
              </div>
            ))}
          </dl>
        </section>
      ) : null}
      {metadata ? (
        <section>
          <h3 className="mb-1 text-xs text-ink-3">Metadata</h3>
          <pre className="max-h-48 overflow-auto font-mono text-xs break-words whitespace-pre-wrap">
            {pretty(metadata)}
          </pre>
        </section>
      ) : null}
    </div>
  );
}
