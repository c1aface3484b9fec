"""Adjectives by semantic class, adverbs, and the fixed phrases of time, place and manner; `_` is a space."""

WORDS: dict[str, str] = {
    "Adj/size": """big small little tiny huge large tall short long wide narrow thick thin heavy light enormous giant
        great deep low high broad slim flat steep""",
    "Adj/look": """shiny bright dull dusty muddy clean dirty neat tidy messy pretty lovely beautiful ugly plain fancy
        smooth rough soft hard sharp round square crooked bent broken cracked torn patched striped spotted dotted
        painted carved polished rusty sticky wet dry damp dripping sparkling glittering fine strange odd curious simple
        splendid perfect wonderful elegant delicate sturdy solid hollow pale dark faded tattered slippery dented
        speckled chipped gleaming battered scratched""",
    "Adj/matter": """golden wooden silver woollen leather velvet marble stone crystal glass paper silk copper bronze
        woven iron""",
    "Adj/age": "old new ancient modern young worn fresh antique",
    "Adj/worth": "precious cheap costly rare famous favourite special secret forgotten lost missing magic common",
    "Adj/color": """red blue green yellow white black brown grey pink purple orange scarlet crimson turquoise violet
        cream ginger amber emerald""",
    "Adj/taste": """sweet sour salty spicy bitter tasty delicious fresh warm hot cold crisp crunchy juicy ripe creamy
        buttery sugary stale plain rich tender tangy burnt steaming frozen raw chewy flaky fruity minty savoury
        crumbly""",
    "Adj/character": """kind gentle clever wise brave bold loyal patient polite friendly cheerful merry jolly funny
        silly shy quiet noisy lazy busy careful careless grumpy stubborn greedy selfish generous rude proud humble bossy
        curious playful lively strong weak young old rich poor famous lonely strict calm helpful thoughtful forgetful
        cunning sly fearless timid cautious dreamy talkative skilful hardworking handsome graceful clumsy plump skinny
        bald elderly""",
    "Adj/good": """happy glad proud pleased cheerful excited delighted thankful grateful calm hopeful joyful merry
        relieved content brave eager confident lucky thrilled overjoyed amused""",
    "Adj/bad": """sad angry afraid scared frightened worried upset nervous lonely jealous ashamed tired hungry thirsty
        cold cross bored unhappy sorry anxious confused puzzled gloomy miserable disappointed weary hurt ill annoyed
        furious restless homesick terrified helpless embarrassed exhausted sleepy dizzy""",
    "Adj/beast": """furry fluffy hairy shaggy woolly sleek spotted striped tame wild hungry sleepy playful frisky gentle
        fierce shy quick slow clever old young small tiny fat thin lame stray hairless lost friendly greedy curious
        lively obedient naughty mischievous scruffy nimble quiet""",
    "Adj/land": """green grassy sandy rocky stony muddy leafy shady sunny windy misty foggy snowy icy quiet silent
        lonely empty crowded busy narrow winding wide dark deep wild peaceful pleasant hidden distant nearby far steep
        dusty flooded frozen moonlit mossy bare dangerous overgrown sheltered""",
    "Adj/weather": """warm cold cool hot chilly sunny cloudy rainy stormy windy snowy foggy misty frosty bright dark
        gloomy mild fine dry wet grey clear golden""",
    "Adj/thought": """good bad clever silly brilliant simple wonderful foolish strange great new old terrible wild
        difficult easy important secret funny serious sensible splendid daring hopeless sudden""",
    "Adj/noise": "loud soft strange sudden faint sharp low deep awful funny quiet terrible gentle high dull distant",
    "Adj/fixed": """honest useful pet main front back whole other only own same best worst first last next real dead
        alive ready full certain able left right better dear still glad half enough more next open near asleep awake""",
    "Adj/hardness": "hard easy difficult impossible dangerous safe important fun possible wrong right foolish wise",
    "Adv/manner": """slowly quickly quietly loudly softly gently carefully happily sadly proudly bravely kindly politely
        eagerly gladly angrily nervously patiently calmly cheerfully clumsily cleverly neatly gracefully silently
        swiftly firmly boldly anxiously curiously thoughtfully wearily warmly lazily busily steadily secretly suddenly
        tenderly playfully merrily hopefully honestly skilfully badly well together alone again""",
    "Adv/speech": """softly loudly quietly kindly gently proudly sadly happily crossly sternly shyly politely eagerly
        cheerfully angrily calmly firmly nervously bravely slowly quickly thoughtfully gladly hopefully honestly warmly
        weakly""",
    "Adv/sentence": """suddenly luckily sadly soon finally later once slowly sometimes afterwards fortunately
        unfortunately meanwhile eventually then""",
    "Where/direction": "away home outside inside upstairs downstairs back forward",
    "Where/elsewhere": """everywhere nearby along anywhere somewhere ahead off on by over around far together past in
        out nowhere down up before here there today tomorrow yesterday early late fast hard behind anyway alone again
        after""",
    "Freq": """often always never sometimes usually still already just only even almost once first now also both last
        ever soon really""",
    "TimeN.sg": """day night morning evening afternoon week month year hour minute summer winter spring autumn birthday
        holiday time season""",
    "Comp": """bigger smaller taller shorter longer older younger faster slower stronger weaker louder quieter warmer
        colder brighter darker kinder wiser braver happier sadder heavier lighter cleaner richer safer softer
        sweeter""",
    "TimeEnd": """that_day that_night that_morning all_day all_night all_morning all_afternoon for_a_while
        for_a_long_time for_weeks for_days at_once right_away before_dark before_dawn until_dark until_sunset at_night
        in_the_morning in_the_evening in_the_afternoon every_day every_morning every_night every_week once_more
        for_years at_first for_hours all_week at_last in_time too_late twice after_supper after_lunch before_breakfast
        until_morning the_next_day day_after_day""",
    "With": """with_great_care with_a_smile with_a_sigh with_a_frown with_a_laugh with_a_nod in_silence in_a_hurry
        without_a_word without_a_sound on_tiptoe with_joy with_pride by_mistake in_surprise in_secret on_purpose
        with_both_hands out_of_breath with_a_shrug in_a_whisper with_a_grin side_by_side one_by_one step_by_step
        hand_in_hand as_fast_as_possible""",
    "PrepOther": """with for about of without after before like because_of instead_of as during until since from to by
        on in""",
    "Num": "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty",
    "Interj": """yes no oh oh_no look listen please well hello hooray thank_you goodbye good_morning of_course wait stop
        come""",
    # `open` begins a story, `mid` carries it on the same day, `late` ends it on another.
    "TimeFront/open": """one_morning one_day one_evening one_afternoon last_winter last_summer last_spring last_autumn
        in_spring in_autumn on_Monday on_Tuesday on_Wednesday on_Thursday on_Friday on_Saturday on_Sunday in_April
        in_May in_June in_July in_March in_October in_November in_December in_January in_February in_August in_September
        long_ago before_sunrise one_night early_one_morning late_one_evening one_summer one_winter""",
    "TimeFront/mid": """after_a_while at_noon at_dusk after_breakfast after_lunch after_supper before_dinner
        a_moment_later just_then at_that_moment at_first a_instant_later in_the_afternoon a_minute_later after_that
        for_a_moment by_sunset""",
    "TimeFront/late": """at_last in_the_end the_next_day the_next_morning a_week_later two_days_later three_weeks_later
        a_year_later that_night that_evening from_that_day_on every_day every_morning every_evening at_midnight at_dawn
        in_the_evening in_the_morning all_day_long all_night_long in_summer in_winter""",
    # A generated place needs the right preposition for its noun; the recogniser accepts any of them.
    "PrepLoc/in": "in inside",
    "PrepLoc/on": "on under beside near on_top_of behind",
    "PrepLoc/near": "near behind beside by close_to in_front_of outside next_to not_far_from",
    "PrepLoc/any": "above below against at among between under",
    "PrepPath/outdoor": "to into through across along past towards around down",
    "PrepPath/building": "to into past towards around out_of through from",
    "PrepPath/thing": "over around past onto off under behind towards up beyond",
}
