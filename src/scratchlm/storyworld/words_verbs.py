"""Verbs by what follows them; `base/past/participle` gives irregular forms, `_` joins a verb to its particle."""

VERBS: dict[str, str] = {
    # Without an object: `misc` are verbs that stand alone in frames too.
    "Vi/person": """laugh smile cry sleep/slept/slept wake/woke/woken rest wait work sing/sang/sung dance hum whistle
        nod sigh yawn sneeze cough blush frown grin giggle chuckle tremble shiver kneel/knelt/knelt stand/stood/stood
        sit/sat/sat think/thought/thought listen pray play swim/swam/swum clap wave bow stretch snore wink shrug pause
        hesitate stumble hurry return agree speak/spoke/spoken whisper weep/wept/wept fish paint read/read/read cook
        knit sew/sewed/sewn row practise relax faint tiptoe cheer stop begin/began/begun sit_down/sat_down/sat_down
        stand_up/stood_up/stood_up wake_up/woke_up/woken_up look_up look_around lie_down/lay_down/lain_down
        fall_asleep/fell_asleep/fallen_asleep""",
    "Vi/misc": """answer give_up/gave_up/given_up talk leave/left/left care know/knew/known try wonder help pack
        win/won/won eat/ate/eaten drink/drank/drunk write/wrote/written call knock move follow hear/heard/heard
        see/saw/seen remember forget/forgot/forgotten ask look lie/lay/lain start worry breathe
        come_back/came_back/come_back shout run_away/ran_away/run_away finish live stay grow_dark/grew_dark/grown_dark
        go_on/went_on/gone_on come_in/came_in/come_in""",
    "Vi/animal": """bark growl purr hiss howl squeak snort sniff graze chirp hoot cluck scratch crouch pounce nibble wag
        wriggle leap hop trot gallop run/ran/run eat/ate/eaten drink/drank/drunk""",
    "Vi/nature": """shine/shone/shone blow/blew/blown rise/rose/risen sink/sank/sunk fade glow sparkle glitter swirl
        gleam drift vanish appear disappear twinkle shimmer grow/grew/grown fall/fell/fallen freeze/froze/frozen melt
        move""",
    "Vi/sky": "shine/shone/shone rise/rose/risen sink/sank/sunk fade glow gleam drift vanish appear disappear",
    "Vi/plant": "bloom grow/grew/grown fade sway wither droop flower",
    "Vi/thing": """creak rattle squeak crack burst/burst/burst break/broke/broken ring/rang/rung tick wobble
        spin/spun/spun roll slip tip shake/shook/shaken bend/bent/bent snap open close drip leak crumble burn bounce
        jingle tumble""",
    # Transitive verbs by the class of their object.
    "Vt/edible": """eat/ate/eaten taste bake cook share chew swallow nibble buy/bought/bought sell/sold/sold serve slice
        peel enjoy gobble munch roast fry boil pack prepare chop steal/stole/stolen""",
    "Vt/drink": "drink/drank/drunk pour sip spill stir heat boil taste gulp",
    "Vt/plant": """plant water pick grow/grew/grown gather smell trim cut/cut/cut pluck dig_up/dug_up/dug_up arrange
        sow/sowed/sown tend""",
    "Vt/tree": "climb chop_down plant shake/shook/shaken draw/drew/drawn admire",
    "Vt/animal": """feed/fed/fed pet stroke chase catch/caught/caught follow hug pat train watch wash comb rescue free
        tame groom call wake/woke/woken calm cuddle shelter lead/led/led tease scare frighten adopt protect""",
    "Vt/role": """help meet/met/met greet thank invite follow visit trust forgive/forgave/forgiven obey
        teach/taught/taught surprise tease comfort know/knew/known remember love miss warn join fetch find/found/found
        hug kiss please praise blame scold admire fool respect marry welcome cheer_up pay/paid/paid""",
    "Vt/thing": """find/found/found lose/lost/lost hold/held/held carry lift drop hide/hid/hidden keep/kept/kept
        take/took/taken bring/brought/brought show/showed/shown see/saw/seen touch grab borrow lend/lent/lent
        buy/bought/bought sell/sold/sold choose/chose/chosen want need notice throw/threw/thrown catch/caught/caught
        pull push drag pick_up put_down/put_down/put_down steal/stole/stolen admire clean polish wrap unwrap fetch
        collect count trade swap examine bang inspect hang_up/hung_up/hung_up""",
    "Vt/tool": "use sharpen grip swing/swung/swung hold/held/held borrow fix oil drop fetch repair clean",
    "Vt/toy": "play_with make/made/made break/broke/broken mend toss wind_up/wound_up/wound_up share paint fix",
    "Vt/clothing": """wear/wore/worn wash sew/sewed/sewn mend knit fold button tear/tore/torn put_on/put_on/put_on iron
        stitch dry patch take_off/took_off/taken_off weave/wove/woven""",
    "Vt/book": """read/read/read write/wrote/written draw/drew/drawn copy study tear/tore/torn learn
        understand/understood/understood forget/forgot/forgotten finish hide/hid/hidden sign print send/sent/sent""",
    "Vt/container": "open close fill empty carry shut/shut/shut pack unpack lock unlock seal load unload",
    "Vt/furniture": "clean move paint build/built/built dust polish repair decorate carve sand",
    "Vt/vehicle": """drive/drove/driven ride/rode/ridden steer push stop repair load paint build/built/built tow park
        board unload""",
    "Vt/building": """enter leave/left/left build/built/built visit sweep/swept/swept paint guard find/found/found reach
        repair see/saw/seen pass decorate lock own""",
    "Vt/outdoor": """cross reach leave/left/left explore see/saw/seen find/found/found love pass enjoy visit admire
        search know/knew/known""",
    "Vt/idea": """have/had/had share explain forget/forgot/forgotten remember learn discover need tell/told/told
        hear/heard/heard understand/understood/understood imagine solve keep/kept/kept make/made/made like
        find/found/found invent""",
    "Vt/event": """enjoy plan start join attend watch win/won/won lose/lost/lost miss leave/left/left celebrate organise
        cancel/cancelled/cancelled spoil remember""",
    "Vt/music": "play practise",
    "Vt/sound": "hear/heard/heard make/made/made notice imitate ignore",
    "Vt/feeling": "feel/felt/felt need bring/brought/brought find/found/found give/gave/given deserve lose/lost/lost",
    "Vt/body": "wash rub scratch raise bump hurt/hurt/hurt shake/shook/shaken warm lift dry",
    "Vt/misc": """ask sing/sang/sung tell/told/told try answer mean/meant/meant do/did/done mix lose/lost/lost
        get/got/got win/won/won have/had/had hit/hit/hit light/lit/lit say/said/said practise speak/spoke/spoken""",
    "Vt/part": "fix pick_up carry touch break/broke/broken mend drop find/found/found kick notice measure clean",
    # With direct speech.
    "Vsay/tell": """say/said/said reply whisper answer laugh sigh smile explain add grumble mumble agree promise
        announce suggest insist admit groan giggle boast declare murmur complain warn observe remark continue""",
    "Vsay/shout": "cry call shout exclaim beg yell cheer gasp",
    # Movement: followed by a path ("to the mill", "over the bridge").
    "Vmove": """walk run/ran/run go/went/gone come/came/come hurry rush march stroll wander creep/crept/crept crawl
        climb jump hop skip race dash sneak slide/slid/slid travel sail ride/rode/ridden drive/drove/driven
        fly/flew/flown swim/swam/swum row paddle hike limp stomp scramble trudge gallop trot return step stagger sprint
        plod roam slip glide""",
    # Verb, preposition, object.
    "Vprep": """look_down_on look_for search_for look_at listen_to wait_for point_at stare_at shout_at smile_at laugh_at
        talk_to talk_about think_of/thought_of/thought_of dream_of care_for look_after worry_about wave_to ask_for
        run_after/ran_after/run_after knock_on lean_on/leant_on/leant_on belong_to hear_about/heard_about/heard_about
        believe_in get_rid_of/got_rid_of/got_rid_of depend_on bump_into trip_over nod_to whisper_to
        sing_to/sang_to/sung_to reach_for glance_at take_care_of/took_care_of/taken_care_of
        write_to/wrote_to/written_to""",
    # Two objects.
    "Vd": """give/gave/given show/showed/shown bring/brought/brought send/sent/sent lend/lent/lent sell/sold/sold offer
        hand pass throw/threw/thrown buy/bought/bought tell/told/told teach/taught/taught owe promise""",
    # Verb, object, place.
    "Vplace": """put/put/put place lay/laid/laid set/set/set hang/hung/hung hide/hid/hidden leave/left/left drop
        find/found/found store carry stick/stuck/stuck bury see/saw/seen throw/threw/thrown spot""",
    # With an infinitive, a gerund, a clause, an adjective.
    "Vinf": """go/went/gone come/came/come wait stop want try decide hope learn begin/began/begun start promise agree
        plan need forget/forgot/forgotten refuse like love wish offer choose/chose/chosen prepare remember manage
        hate""",
    "Vger": """start stop keep/kept/kept enjoy finish begin/began/begun love like keep_on/kept_on/kept_on
        give_up/gave_up/given_up go_on/went_on/gone_on practise miss hate""",
    "Vthat": """think/thought/thought know/knew/known hope believe see/saw/seen notice hear/heard/heard say/said/said
        feel/felt/felt remember forget/forgot/forgotten guess dream decide learn promise find_out/found_out/found_out
        understand/understood/understood realise wish explain agree complain write/wrote/written tell/told/told""",
    "Vlink": "feel/felt/felt look seem become/became/become grow/grew/grown stay get/got/got turn sound remain",
    # With an indirect question; an object and an infinitive.
    "Vask": "ask wonder inquire",
    "Vobj": "ask tell/told/told help teach/taught/taught want invite beg/begged/begged allow warn order remind",
}
