-- The life of a shipment as one aggregate: each status counts only if it may follow the last one that counted.
-- `legal_after` holds the statuses that this status may follow; the empty text stands before the first event.
-- As a window aggregate it is the exact fold of domain/lifecycle.judge in one pass over the sorted events.
create function ops.next_status(state text, status text, legal_after text []) returns text
language plpgsql immutable parallel safe as $$
begin
    if coalesce(state, '') = any(legal_after) then
        return status;
    end if;
    return state;
end $$;

create aggregate ops.last_legal_status(status text, legal_after text []) (
    sfunc = ops.next_status,
    stype = text,
    parallel = safe
);
