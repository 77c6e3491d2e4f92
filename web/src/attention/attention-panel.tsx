import { type Condition, type Project, useAcknowledge, useAttention } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { CircleCheck, Info, MoreHorizontal, OctagonAlert, TriangleAlert } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { ExportButton } from '@/export/export-button';
import { useRefusal } from '@/shell/rights';
import { Button, IconButton } from '@/ui/button';
import { cx } from '@/ui/cx';
import { count } from '@/ui/format';
import { Menu, MenuItem, MenuLink } from '@/ui/menu';
import { Panel } from '@/ui/panel';
import { Name, PersonLink } from '@/ui/person-name';
import { usePlace } from '@/ui/place';
import { ErrorState, Skeleton } from '@/ui/states';
import { Age, Ago, DayTime } from '@/ui/time';
import { toast } from '@/ui/toast';
import { AcknowledgeDialog } from './acknowledge-dialog';
import { conditionWords } from './condition-words';
import { useOpenConditions } from './use-open-conditions';

/** Conditions that are shown before "Show all". */
const SHOWN_MAX = 6;

const severities: Record<string, { icon: ReactNode; className: string; word: string }> = {
  critical: { icon: <OctagonAlert size={16} />, className: 'text-bad', word: 'Critical' },
  warning: { icon: <TriangleAlert size={16} />, className: 'text-warn', word: 'Warning' },
  notice: { icon: <Info size={16} />, className: 'text-ink-3', word: 'Notice' },
};

/** First panel of the overview: what needs an operator, or that nothing does. */
export function AttentionPanel({ projects }: { projects: Project[] | undefined }) {
  const { error, refetch } = useAttention();
  const conditions = useOpenConditions();
  const [all, setAll] = useState(false);
  const [acknowledged, setAcknowledged] = useState(false);

  if (!conditions) {
    return (
      <Panel title="Needs attention" label="Needs attention" flush>
        {error ? <ErrorState error={error} compact onRetry={() => refetch()} /> : <Skeleton rows={1} />}
      </Panel>
    );
  }
  const { open } = conditions;
  const hidden = conditions.acknowledged.length;
  const shown = all ? open : open.slice(0, SHOWN_MAX);
  return (
    <Panel
      flush
      label="Needs attention"
      title={open.length ? `Needs attention · ${count(open.length)}` : 'Needs attention'}
      aside={
        open.length + hidden > 0 ? (
          <span className="flex items-center gap-2">
            {hidden ? (
              <Button variant="ghost" className="!h-6 text-xs" onClick={() => setAcknowledged(!acknowledged)}>
                {acknowledged ? 'Hide' : 'Show'} {count(hidden)} acknowledged
              </Button>
            ) : null}
            <ExportButton name="conditions" path="/api/attention" query={{}} ghost />
          </span>
        ) : null
      }
    >
      {open.length === 0 ? <AllGood projects={projects} /> : null}
      {shown.length ? (
        <ul className="divide-y divide-line">
          {shown.map((condition) => (
            <ConditionRow key={`${condition.project}/${condition.id}`} condition={condition} />
          ))}
        </ul>
      ) : null}
      {open.length > SHOWN_MAX ? (
        <Button variant="ghost" className="m-2 text-xs" onClick={() => setAll(!all)}>
          {all ? `Show the first ${SHOWN_MAX}` : `Show all ${count(open.length)}`}
        </Button>
      ) : null}
      {acknowledged && hidden ? (
        <ul aria-label="Acknowledged" className="divide-y divide-line border-t border-line">
          {conditions.acknowledged.map((condition) => (
            <ConditionRow key={`${condition.project}/${condition.id}`} condition={condition} />
          ))}
        </ul>
      ) : null}
    </Panel>
  );
}

function AllGood({ projects }: { projects: Project[] | undefined }) {
  // The oldest of the last syncs: everything was fine at that time at the latest.
  const synced = projects?.map((project) => project.reconciledAt ?? 0) ?? [];
  const oldest = synced.length ? Math.min(...synced) : 0;
  return (
    <Well text="Nothing needs attention.">
      {oldest ? (
        <span className="text-ink-2">
          Synced <Ago at={oldest} />.
        </span>
      ) : null}
    </Well>
  );
}

/** The line of a panel without conditions. */
export const Well = ({ text, children }: { text: string; children?: ReactNode }) => (
  <p className="flex items-center gap-2.5 px-4 py-3">
    <CircleCheck size={16} className="shrink-0 text-good" aria-hidden />
    <span>
      <span className="font-medium">{text}</span> {children}
    </span>
  </p>
);

/** A condition as it is, or as it was at the moment of a page that shows the past. */
export function ConditionRow({ condition, past }: { condition: Condition; past?: boolean }) {
  const { title, preposition, detail, advice } = conditionWords(condition);
  const look = severities[condition.severity] ?? severities.notice;
  const { acknowledged } = condition;
  const place = usePlace()?.search;
  return (
    <li className="flex items-start gap-2.5 py-2.5 pr-2 pl-4">
      <span className={cx('mt-0.5 shrink-0', acknowledged ? 'text-ink-3' : look?.className)}>
        <span aria-hidden>{look?.icon}</span>
        <span className="sr-only">{look?.word}: </span>
      </span>
      <div className="min-w-0 grow">
        <p className="break-words">
          <span className="font-medium">{title}</span>
          {condition.room ? (
            <>
              {preposition ? ` ${preposition} ` : ': '}
              <Link
                to="/rooms/$room"
                params={{ room: condition.room }}
                search={{ project: condition.project, sid: condition.roomSid ?? undefined, ...place }}
                className="font-medium hover:underline"
              >
                {condition.room}
              </Link>
            </>
          ) : null}
          {detail ? <span className="text-ink-2"> · {detail}</span> : null}
          {condition.participant?.identity ? (
            <>
              <span className="text-ink-3"> · </span>
              <PersonLink identity={condition.participant.identity} project={condition.project} className="text-ink-2">
                <Name>{condition.participant.name || condition.participant.identity}</Name>
              </PersonLink>
            </>
          ) : null}
        </p>
        <p className="mt-0.5 text-xs text-ink-3">
          {acknowledged ? (
            <>
              Acknowledged by {acknowledged.by}
              {acknowledged.until ? (
                <>
                  {' '}
                  until <DayTime at={acknowledged.until} />
                </>
              ) : null}
              {acknowledged.reason ? `: ${acknowledged.reason}` : ''}
            </>
          ) : past ? null : (
            advice
          )}
        </p>
      </div>
      <span className="num mt-px shrink-0 text-xs text-ink-2">
        {condition.endsAt ? <Ago at={condition.since} /> : <Age since={condition.since} />}
      </span>
      {past ? null : <Actions condition={condition} title={title} />}
    </li>
  );
}

function Actions({ condition, title }: { condition: Condition; title: string }) {
  const refusal = useRefusal('attend');
  const { mutate } = useAcknowledge();
  const [asking, setAsking] = useState(false);
  const { id, project, evidence } = condition;
  const takeBack = () =>
    mutate(
      { id, project, undo: true },
      {
        onSuccess: () => toast.good('No longer acknowledged'),
        onError: (error) => toast.bad(error, 'Take back'),
      },
    );
  return (
    <>
      <Menu
        trigger={
          <IconButton label={`Actions: ${title}${condition.room ? ` ${condition.room}` : ''}`} className="-my-1">
            <MoreHorizontal size={15} />
          </IconButton>
        }
      >
        {condition.acknowledged ? (
          <MenuItem reason={refusal} onSelect={takeBack}>
            Take acknowledgement back
          </MenuItem>
        ) : (
          <MenuItem reason={refusal} onSelect={() => setAsking(true)}>
            Acknowledge…
          </MenuItem>
        )}
        {evidence[0] ? (
          <MenuLink>
            <Link to="/events" search={{ at: evidence[0] }}>
              Show event
            </Link>
          </MenuLink>
        ) : null}
      </Menu>
      {asking ? <AcknowledgeDialog condition={condition} title={title} onClose={() => setAsking(false)} /> : null}
    </>
  );
}
