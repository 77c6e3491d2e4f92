/**
 * Where menus, popovers and tooltips are put: into the page's main part, so that they belong to a landmark like everything
 * else. Undefined on pages without one; the body is then the place.
 */
export const portal = () => document.getElementById('main') ?? undefined;
