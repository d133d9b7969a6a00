-- purpose: where one account's events of some types stand between two positions, the newest first
-- parameters: $1 text account, $2 boolean livemode, $3 text[] types, $4 bigint after position,
--   $5 bigint before position, $6 bigint limit, $7 bigint up to where blocks are sealed
-- result: position bigint
-- note: of the blocks only the first can reach over an edge that was asked for; so those before a
--   block have what they count, but for a thousand at most, and when that is enough no more are
--   opened. OFFSET keeps account and mode from leading the look over another index than position's
SELECT found.position
FROM (
    (SELECT beyond.position
     FROM (
         SELECT e.position, e.account, e.livemode, e.type
         FROM event_store.events AS e
         WHERE e.position > greatest($4::bigint, $7) AND e.position < $5
         ORDER BY e.position DESC
         OFFSET 0
     ) AS beyond
     WHERE beyond.account = $1 AND beyond.livemode = $2 AND beyond.type = ANY ($3)
     ORDER BY beyond.position DESC
     LIMIT $6)
    UNION ALL
    (SELECT sealed.position
     FROM unnest($3::text[]) AS wanted (type)
     CROSS JOIN LATERAL (
         SELECT 1000 * counted.block + o.place AS position
         FROM (
             SELECT near.block, near.offsets,
                    sum(cardinality(near.offsets)) OVER (
                        ORDER BY near.block DESC
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                    ) AS events_before
             FROM (
                 SELECT b.block, b.offsets
                 FROM event_store.event_blocks AS b
                 WHERE b.account = $1 AND b.livemode = $2 AND b.type = wanted.type
                   AND b.block BETWEEN $4 / 1000 AND ($5 - 2) / 1000 AND b.block < $7 / 1000
                 ORDER BY b.block DESC
                 LIMIT $6 + 1
             ) AS near
         ) AS counted
         CROSS JOIN LATERAL unnest(counted.offsets) AS o (place)
         WHERE coalesce(counted.events_before, 0) < $6 + 1000
           AND 1000 * counted.block + o.place > $4 AND 1000 * counted.block + o.place < $5
         ORDER BY position DESC
         LIMIT $6
     ) AS sealed)
) AS found
ORDER BY found.position DESC
LIMIT $6
