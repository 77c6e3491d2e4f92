import type { ReactNode } from 'react';
import { cx } from './cx';
import { useTabTitle } from './tab-title';

/** Box with a title. Every page consists of panels. */
export function Panel({
  title,
  aside,
  children,
  className,
  flush,
  label,
}: {
  title?: ReactNode;
  /** Name of the panel as a landmark, for panels that users look for. */
  label?: string;
  aside?: ReactNode;
  children: ReactNode;
  className?: string;
  flush?: boolean;
}) {
  return (
    <section
      aria-label={label}
      className={cx('min-w-0 rounded-lg border border-line bg-surface shadow-card', className)}
    >
      {title ? (
        <header className="flex min-h-10 flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-4 py-1.5">
          <h2 className="grow text-[0.8125rem] font-medium">{title}</h2>
          {aside}
        </header>
      ) : null}
      <div className={flush ? 'min-h-0 grow' : 'p-4'}>{children}</div>
    </section>
  );
}

/** Head of a page: title, actions, and an optional line below. */
export function PageHeader({
  title,
  name = typeof title === 'string' ? title : undefined,
  children,
  actions,
}: {
  title: ReactNode;
  /** Title of the browser tab, if `title` is not a text. */
  name?: string;
  children?: ReactNode;
  actions?: ReactNode;
}) {
  return (
    <div className="mb-4 flex flex-wrap items-start gap-x-4 gap-y-2">
      {name ? <TabTitle page={name} /> : null}
      <div className="min-w-0 grow">
        <h1 className="truncate text-lg leading-7 font-semibold tracking-tight">{title}</h1>
        {children ? <div className="mt-0.5 text-ink-2">{children}</div> : null}
      </div>
      {actions ? <div className="flex flex-wrap items-center gap-2 max-[24rem]:gap-1">{actions}</div> : null}
    </div>
  );
}

const TabTitle = ({ page }: { page: string }) => <title>{useTabTitle(page)}</title>;
