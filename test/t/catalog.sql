-- Every object of the extension with all that CREATE or ALTER can say of it, one line each, without
-- oids: two databases have the same extension when they give the same lines.  Needs an empty
-- search_path.
WITH member AS (
	SELECT classid, objid FROM pg_catalog.pg_depend
	WHERE deptype = 'e' AND refclassid = 'pg_catalog.pg_extension'::regclass
		AND refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'otel_links')
), described AS (
	-- every member by its identity and its comment
	SELECT pg_catalog.format('%s: %s', pg_catalog.pg_describe_object(classid, objid, 0),
		pg_catalog.obj_description(objid, classid::regclass::name)) AS line
	FROM member
	UNION ALL
	SELECT pg_catalog.format('function %s %s %s', p.oid::regprocedure, p.proacl,
		CASE WHEN p.prokind IN ('f', 'p') THEN pg_catalog.pg_get_functiondef(p.oid) ELSE
			(SELECT (pg_catalog.to_jsonb(a) - '{aggfnoid,aggtranstype}'::text[])::text
			FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = p.oid) END)
	FROM member JOIN pg_catalog.pg_proc p
		ON p.oid = objid AND classid = 'pg_catalog.pg_proc'::regclass
	UNION ALL
	SELECT pg_catalog.format('type %s %s', t.oid::regtype, pg_catalog.to_jsonb(t)
		- '{oid,typowner,typnamespace,typrelid,typelem,typarray,typbasetype}'::text[])
	FROM member JOIN pg_catalog.pg_type t
		ON t.oid = objid AND classid = 'pg_catalog.pg_type'::regclass
	UNION ALL
	SELECT pg_catalog.format('relation %s %s %s %s %s %s', c.oid::regclass, c.relkind, c.relacl,
		c.reloptions, c.relreplident, pg_catalog.pg_get_viewdef(c.oid))
	FROM member JOIN pg_catalog.pg_class c
		ON c.oid = objid AND classid = 'pg_catalog.pg_class'::regclass
	UNION ALL
	-- by name, since what is dropped and added has another place
	SELECT pg_catalog.format('column %s.%s %s %s %s %s %s %s', attrelid::regclass, attname,
		pg_catalog.format_type(atttypid, atttypmod), attnotnull, attstorage, attcompression,
		pg_catalog.pg_get_expr(adbin, adrelid), pg_catalog.col_description(attrelid, attnum))
	FROM member JOIN pg_catalog.pg_attribute
		ON attrelid = objid AND classid = 'pg_catalog.pg_class'::regclass
		LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
	WHERE attnum > 0 AND NOT attisdropped
	UNION ALL
	SELECT pg_catalog.format('constraint %s %s', conrelid::regclass,
		pg_catalog.pg_get_constraintdef(con.oid))
	FROM member JOIN pg_catalog.pg_constraint con
		ON conrelid = objid AND classid = 'pg_catalog.pg_class'::regclass
	UNION ALL
	SELECT pg_catalog.pg_get_indexdef(indexrelid)
	FROM member JOIN pg_catalog.pg_index
		ON indrelid = objid AND classid = 'pg_catalog.pg_class'::regclass
	UNION ALL
	SELECT pg_catalog.format('cast %s %s %s %s %s', castsource::regtype, casttarget::regtype,
		castfunc::regprocedure, castcontext, castmethod)
	FROM member JOIN pg_catalog.pg_cast c
		ON c.oid = objid AND classid = 'pg_catalog.pg_cast'::regclass
	UNION ALL
	SELECT pg_catalog.format('operator %s %s %s %s %s %s %s %s', o.oid::regoperator, oprcode,
		oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanmerge, oprcanhash)
	FROM member JOIN pg_catalog.pg_operator o
		ON o.oid = objid AND classid = 'pg_catalog.pg_operator'::regclass
	UNION ALL
	SELECT pg_catalog.format('family %s: %s', opfname, pg_catalog.concat_ws(' ',
		(SELECT pg_catalog.string_agg(pg_catalog.format('%s %s %s', amopstrategy,
			amopopr::regoperator, amoppurpose), ', ' ORDER BY amopstrategy)
			FROM pg_catalog.pg_amop WHERE amopfamily = f.oid),
		(SELECT pg_catalog.string_agg(pg_catalog.format('%s %s', amprocnum, amproc::regprocedure),
			', ' ORDER BY amprocnum) FROM pg_catalog.pg_amproc WHERE amprocfamily = f.oid)))
	FROM member JOIN pg_catalog.pg_opfamily f
		ON f.oid = objid AND classid = 'pg_catalog.pg_opfamily'::regclass
)
SELECT line FROM described ORDER BY line COLLATE "C";
