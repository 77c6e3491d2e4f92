import { Link } from '@tanstack/react-router';

/** Path to a page: the list that it belongs to, and its name. The navigation marks the list as the current page. */
export const Crumb = ({ to, list, name }: { to: '/rooms' | '/sessions'; list: string; name: string }) => (
  <nav aria-label="Breadcrumb" className="mb-1 text-xs text-ink-3">
    <Link to={to} activeOptions={{ exact: true, includeSearch: false }} className="hover:text-ink hover:underline">
      {list}
    </Link>
    <span aria-hidden> / </span>
    <span className="sr-only">, </span>
    <span className="break-all">{name}</span>
  </nav>
);
